"""The page on writing checkpoints: each snippet runs where its library is there; elsewhere its calls fit, at least."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.house.test_docs import Snippet, snippets
from tests.support.forks import Fork

LIBRARIES = ("torch", "transformers", "lightning")
SNIPPETS = snippets(*(f"python {library}" for library in LIBRARIES))


def calls_of_ours(tree: ast.Module) -> Iterator[tuple[ast.Call, object]]:
    """Every call of something imported from this package, with what is called."""
    names: dict[str, object] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("airflow_runai"):
            module = importlib.import_module(str(node.module))
            names.update(
                {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
            )
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in names:
            yield node, names[node.func.id]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id in names:
                yield node, getattr(names[owner.id], node.func.attr)


def test_page_has_a_snippet_for_every_framework() -> None:
    assert {snippet.category.split()[1] for snippet in SNIPPETS} == set(LIBRARIES)


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.place)
def test_snippet_compiles_and_its_calls_of_ours_fit(snippet: Snippet) -> None:
    tree = ast.parse(snippet.text)
    fitted = 0
    for call, target in calls_of_ours(tree):
        assert callable(target)
        given = {str(word.arg): None for word in call.keywords}
        inspect.signature(target).bind(*[None] * len(call.args), **given)
        fitted += 1
    assert fitted >= 2


def execute(text: str) -> None:
    exec(compile(text, "snippet", "exec"), {"__name__": "__main__"})


@pytest.mark.slow
@pytest.mark.usefixtures("libraries")
@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: snippet.place)
def test_snippet_runs_under_its_library(snippet: Snippet, tmp_path: Path) -> None:
    library = snippet.category.split()[1]
    if importlib.util.find_spec(library) is None:
        pytest.skip(
            f"{library} is not installed; the snippet was compiled and its calls were checked"
        )
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    printed, code = Fork(execute, snippet.text, environment=environment, folder=tmp_path).finish()
    assert code == 0, printed[-3000:]
