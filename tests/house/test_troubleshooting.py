"""The messages that the troubleshooting page quotes are those of the code."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "troubleshooting.md"
#: A quoted message has at least three words, and `…` where the code puts names and numbers.
QUOTED = re.compile(r"`([^`\n]+(?:\n[^`\n]+)?)`")
#: Code that a user writes, and names of arguments: they are quoted, too, but are no messages.
NO_MESSAGE = re.compile(r"[=\[{]|^(?:airflow|chmod|python|bash) |^#!|^-")


@cache
def said() -> str:
    """Return all texts of the package, joined as Python joins them, and the generated reasons."""
    trees = [ast.parse(path.read_text()) for path in (ROOT / "airflow_runai").rglob("*.py")]
    texts = [node.value for tree in trees for node in ast.walk(tree) if _is_text(node)]  # type: ignore[attr-defined]  # a constant
    texts.append((ROOT / "docs" / "reasons.md").read_text())
    return re.sub(r"\s+", " ", "\n".join(texts))


def _is_text(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def quoted() -> list[str]:
    found = [re.sub(r"\s+", " ", text) for text in QUOTED.findall(PAGE.read_text())]
    return [text for text in found if len(text.split()) >= 3 and not NO_MESSAGE.search(text)]


def pieces(message: str) -> list[str]:
    """Return what the code says literally; short ends of a message prove nothing."""
    parts = [part.strip(" ',;:()") for part in message.split("…")]
    return [part for part in parts if len(part) > 5]


def test_every_message_is_one_of_the_code() -> None:
    messages = quoted()
    assert len(messages) > 25
    unknown = {text: [part for part in pieces(text) if part not in said()] for text in messages}
    assert {text: parts for text, parts in unknown.items() if parts} == {}


def test_a_message_that_nobody_says_is_noticed() -> None:
    assert "the training was not in the mood" not in said()
