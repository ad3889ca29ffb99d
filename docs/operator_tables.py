"""
Tables of the parameters of operators and sensors, read from their source without an import.

The meaning of a parameter is its ``:param:`` line. Its default comes from the constructor of the
class or of its base.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "airflow_runai"
MODULES = (
    "operators/training.py",
    "operators/checkpoint.py",
    "operators/evaluation.py",
    "operators/promotion.py",
    "operators/retention.py",
    "operators/lifecycle.py",
    "operators/orphans.py",
    "sensors/workload.py",
    "sensors/checkpoint.py",
)

Table = Callable[[Sequence[str], Iterable[Sequence[str]]], str]


def all_tables(table: Table) -> str:
    """Return one section for each public class."""
    return "\n\n".join(
        section for module in MODULES for section in _sections(PACKAGE / module, table)
    )


def _sections(path: Path, table: Table) -> Iterator[str]:
    found = [node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)]
    classes = {node.name: node for node in found}
    for node in (node for node in found if node.name.startswith("Runai")):
        words, meanings = _documented(node)
        known = _defaults(node, classes)
        rows = [(f"`{name}`", known.get(name, "required"), text) for name, text in meanings.items()]
        place = f"`airflow_runai.{'.'.join(path.relative_to(PACKAGE).with_suffix('').parts)}`"
        parameters = table(("parameter", "default", "meaning"), rows)
        yield f"## {node.name}\n\nIn {place}. {words}\n\n{parameters}"


def _documented(node: ast.ClassDef) -> tuple[str, dict[str, str]]:
    head, *fields = re.split(r"^:param (\w+):", ast.get_docstring(node) or "", flags=re.MULTILINE)
    return _markdown(head), dict(zip(fields[::2], map(_markdown, fields[1::2]), strict=True))


def _markdown(text: str) -> str:
    """Turn the docstring's markup into Markdown, one line a paragraph."""
    text = re.sub(r":\w+:`~?(?:[\w.]+\.)?(\w+)`", r"`\1`", text).replace("``", "`")
    return "\n\n".join(" ".join(part.split()) for part in text.strip().split("\n\n"))


def _defaults(node: ast.ClassDef, classes: dict[str, ast.ClassDef]) -> dict[str, str]:
    for entry in node.body:
        if isinstance(entry, ast.FunctionDef) and entry.name == "__init__":
            pairs = zip(entry.args.kwonlyargs, entry.args.kw_defaults, strict=True)
            return {
                argument.arg: f"`{_shown(value)}`" for argument, value in pairs if value is not None
            }
    bases = [base.id for base in node.bases if isinstance(base, ast.Name)]
    return next((_defaults(classes[base], classes) for base in bases if base in classes), {})


def _shown(value: ast.expr) -> str:
    text = ast.unparse(value)
    return "'runai_default'" if text == "RunaiHook.default_conn_name" else text
