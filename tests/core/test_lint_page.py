"""The page on lint has a section for each rule, and its examples are true: found before, not found after."""

from __future__ import annotations

import ast
import re
from dataclasses import fields
from pathlib import Path

import pytest

from airflow_runai.core.lint import RULES, Script, Subject, lint

PAGE = Path(__file__).parents[2] / "docs" / "lint.md"
SECTION = re.compile(r"^### ([\w-]+)\n(.*?)(?=^##|\Z)", re.MULTILINE | re.DOTALL)
DIFF = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)
#: What an example cannot show: invisible characters, mode bits, words of another module.
WITHOUT_EXAMPLE = {"script-crlf", "script-not-executable", "command-line-differs"}
#: What the examples leave unsaid. Keys of a subject stand beside those of its specification.
REST = {"image": "registry.example/train:7", "command": "./startup.sh"}


def sections() -> dict[str, str]:
    return dict(SECTION.findall(PAGE.read_text()))


def side(diff: str, sign: str) -> str:
    return "".join(line[1:] for line in diff.splitlines(keepends=True) if line[:1] in (" ", sign))


def subject(code: str, text: str) -> Subject:
    if code.startswith("script-"):
        return Subject(script=Script("startup.sh", text, neighbours=("requirements.txt",)))
    told = ast.literal_eval("{" + text + "}")
    around = {field.name: told.pop(field.name) for field in fields(Subject) if field.name in told}
    return Subject(spec={**REST, **told}, **around)


EXAMPLES = [(code, diff) for code, text in sections().items() for diff in DIFF.findall(text)]


def test_each_rule_has_a_section_and_each_section_a_rule() -> None:
    assert set(sections()) == set(RULES)
    assert {rule.section for rule in RULES.values()} == {
        f"docs/lint.md#{code}" for code in sections()
    }
    assert set(RULES) - {code for code, _ in EXAMPLES} == WITHOUT_EXAMPLE


@pytest.mark.parametrize(
    ("code", "diff"), EXAMPLES, ids=lambda value: value if value in RULES else ""
)
def test_example_is_found_before_and_mended_after(code: str, diff: str) -> None:
    before, after = (lint(subject(code, side(diff, sign))) for sign in "-+")
    assert code in {finding.code for finding in before}
    assert code not in {finding.code for finding in after}
    graver = {finding.code for finding in after if finding.severity == "error"}
    assert graver <= {finding.code for finding in before}, "the remedy brings something worse"
