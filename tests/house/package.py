"""The package's own source as the house tests read it: files, functions, names."""

from __future__ import annotations

import ast
import io
import tokenize
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_CODE = (tokenize.NAME, tokenize.OP, tokenize.NUMBER, tokenize.STRING)


@dataclass(frozen=True)
class Function:
    """The size of one function, without its docstring."""

    name: str
    lines: int
    tokens: int


def package_files() -> list[Path]:
    return sorted((ROOT / "airflow_runai").rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def functions() -> tuple[Function, ...]:
    return tuple(function for path in package_files() for function in _functions(path))


def classes() -> Counter[str]:
    """Count how often the package defines a class of each name."""
    trees = (ast.parse(path.read_text()) for path in package_files())
    nodes = (node for tree in trees for node in ast.walk(tree))
    return Counter(node.name for node in nodes if isinstance(node, ast.ClassDef))


def code_tokens(path: Path) -> Iterator[tokenize.TokenInfo]:
    """Names, operators, numbers and strings: what is left without comments and layout."""
    tokens = tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
    return (token for token in tokens if token.type in _CODE)


def _functions(path: Path) -> Iterator[Function]:
    tokens_of = Counter(token.start[0] for token in code_tokens(path))
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            docstring = ast.get_docstring(node) is not None
            last = node.end_lineno or node.lineno
            first = node.body[1].lineno if docstring and len(node.body) > 1 else node.lineno
            body = range(first, last + 1)
            head = range(node.lineno, node.body[0].lineno)
            tokens = sum(tokens_of[line] for line in {*head, *body})
            yield Function(f"{relative(path)}:{node.name}", len(body), tokens)
