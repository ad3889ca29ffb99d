"""
Tables of the parameters of operators, sensors and task groups, read without an import.

The meaning of a parameter is its ``:param:`` line; its default is in the constructor of the class
or of a base that is not public. A parameter that only one of both names is an error.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "airflow_runai"
FOLDERS = ("operators", "sensors")

#: Functions that make several tasks.
FACTORIES = "task_groups"

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]
Classes = dict[str, ast.ClassDef]


def all_tables(table: Table) -> str:
    """Return one section for each public class."""
    paths = [path for folder in FOLDERS for path in sorted((PACKAGE / folder).glob("*.py"))]
    # The training operator first: others refer to it.
    paths.sort(key=lambda path: path.stem != "training")
    found = {path: _classes(path) for path in paths}
    classes = {node.name: node for nodes in found.values() for node in nodes}
    sections = [section for path in paths for section in _sections(path, classes, table)]
    groups = sorted((PACKAGE / FACTORIES).glob("*.py"))
    return "\n\n".join(
        [*sections, *(section for path in groups for section in _factories(path, table))]
    )


def _factories(path: Path, table: Table) -> Iterator[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("runai_"):
            words, meanings = _documented(node)
            yield _section(node.name, path, words, meanings, _defaults(node), table)


def _classes(path: Path) -> list[ast.ClassDef]:
    return [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]


def _sections(path: Path, classes: Classes, table: Table) -> Iterator[str]:
    for node in (node for node in _classes(path) if node.name.startswith("Runai")):
        words, _ = _documented(node)
        words += _inherited(node)
        meanings, known = _meanings(node, classes), _signature(node, classes)
        yield _section(node.name, path, words, meanings, known, table)


def _section(
    name: str,
    path: Path,
    words: str,
    meanings: dict[str, str],
    known: dict[str, str],
    table: Table,
) -> str:
    if set(known) != set(meanings):
        differing = sorted(set(known) ^ set(meanings))
        raise SystemExit(f"{name}: documented and taken parameters differ in {differing}")
    place = f"`airflow_runai.{'.'.join(path.relative_to(PACKAGE).with_suffix('').parts)}`"
    rows = ((f"`{each}`", known[each], text) for each, text in meanings.items())
    parameters = table(("parameter", "default", "meaning"), rows)
    return f"## {name}\n\nIn {place}. {words}\n\n{parameters}"


def _hidden_bases(node: ast.ClassDef, classes: Classes) -> Iterator[ast.ClassDef]:
    """Yield the bases that have no section of their own."""
    for base in _bases(node):
        if base in classes and not base.startswith("Runai"):
            yield classes[base]


def _meanings(node: ast.ClassDef, classes: Classes) -> dict[str, str]:
    """Return what the docstrings say of each parameter, of the class and of hidden bases."""
    _, known = _documented(node)
    for base in _hidden_bases(node, classes):
        known |= _meanings(base, classes)
    return known


def _bases(node: ast.ClassDef) -> list[str]:
    return [base.id for base in node.bases if isinstance(base, ast.Name)]


def _inherited(node: ast.ClassDef) -> str:
    public = next((base for base in _bases(node) if base.startswith("Runai")), None)
    link = f"[{public}](#{str(public).lower()})"
    return f"\n\nBesides the parameters of {link}:" if public else ""


def _documented(node: ast.ClassDef | ast.FunctionDef) -> tuple[str, dict[str, str]]:
    text = re.split(r"^:raises ", ast.get_docstring(node) or "", flags=re.MULTILINE)[0]
    head, *fields = re.split(r"^:param (\w+):", text, flags=re.MULTILINE)
    return _markdown(head), dict(zip(fields[::2], map(_markdown, fields[1::2]), strict=True))


def _markdown(text: str) -> str:
    """Turn the docstring's markup into Markdown, one line a paragraph."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`")
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _signature(node: ast.ClassDef, classes: Classes) -> dict[str, str]:
    """Return the constructors' parameters with their defaults, of the class and of hidden bases."""
    known: dict[str, str] = {}
    for base in _hidden_bases(node, classes):
        known |= _signature(base, classes)
    for entry in node.body:
        if isinstance(entry, ast.FunctionDef) and entry.name == "__init__":
            known |= _keywords(entry)
    return known


def _defaults(node: ast.FunctionDef) -> dict[str, str]:
    """Return the parameters of a function with their defaults."""
    last = node.args.args[len(node.args.args) - len(node.args.defaults) :]
    named = {a.arg: f"`{_shown(v)}`" for a, v in zip(last, node.args.defaults, strict=True)}
    rest = {node.args.kwarg.arg: "none"} if node.args.kwarg else {}
    return {**named, **_keywords(node), **rest}


def _keywords(node: ast.FunctionDef) -> dict[str, str]:
    pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    return {a.arg: "required" if v is None else f"`{_shown(v)}`" for a, v in pairs}


def _shown(value: ast.expr) -> str:
    text = ast.unparse(value)
    return "'runai_default'" if text == "RunaiHook.default_conn_name" else text
