"""The directions for newcomers in ``docs/architecture.md`` lead to files and names that exist."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "architecture.md"
SECTION = re.compile(r"^## Find your way\n(.*?)^## ", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")


class Direction(NamedTuple):
    """One row of the page: what you look for, where to start, which names to look for there."""

    goal: str
    paths: list[str]
    names: list[str]


def directions() -> list[Direction]:
    section = SECTION.search(PAGE.read_text())
    assert section is not None
    rows = [line.strip("|").split("|") for line in section[1].splitlines() if "`" in line]
    return [
        Direction(cells[0].strip(), CODE.findall(cells[1]), CODE.findall(cells[2]))
        for cells in rows
        if len(cells) == 3
    ]


def defines(text: str, name: str) -> bool:
    return bool(
        re.search(rf"^\s*(?:async )?(?:def|class) {name}\b|^{name}\b.*=", text, re.MULTILINE)
    )


def test_the_page_answers_what_a_newcomer_asks() -> None:
    goals = " ".join(direction.goal for direction in directions())
    for question in ("outcome", "valid", "kill", "format", "field", "rule", "command", "platform"):
        assert question in goals


@pytest.mark.parametrize("direction", directions(), ids=lambda direction: direction.goal)
def test_direction_leads_to_files_and_names_that_exist(direction: Direction) -> None:
    assert direction.paths
    assert [path for path in direction.paths if not (ROOT / path).exists()] == []
    files = [ROOT / path for path in direction.paths if (ROOT / path).is_file()]
    files += [file for path in direction.paths for file in (ROOT / path).glob("*.py")]
    texts = [file.read_text() for file in files]
    missing = [name for name in direction.names if not any(defines(t, name) for t in texts)]
    assert missing == []
