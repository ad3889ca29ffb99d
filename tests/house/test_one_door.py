"""What changes files in shared storage goes through one door, which follows no link."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "airflow_runai"
DOOR = "checkpoints/storage/directory_handle.py"
METHODS = {
    "unlink",
    "rename",
    "rmdir",
    "mkdir",
    "write_text",
    "write_bytes",
    "touch",
    "symlink_to",
    "hardlink_to",
}
FUNCTIONS = {
    "rename",
    "renames",
    "replace",
    "remove",
    "unlink",
    "rmdir",
    "mkdir",
    "makedirs",
    "truncate",
    "link",
}
#: Object storage has no links, and a storage of its own.
ALLOWED = {
    "checkpoints/storage/small_files.py: unlink",
    "checkpoints/storage/small_files.py: open for writing",
}


def changes(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = (
            node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        )
        owner = (
            node.func.value.id
            if isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name)
            else ""
        )
        modes = [
            arg.value
            for arg in node.args
            if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        if (
            owner == "shutil"
            or (owner == "os" and name in FUNCTIONS)
            or (owner != "os" and name in METHODS)
        ):
            yield name
        if name == "open" and any(set(mode) & set("wax+") and len(mode) < 4 for mode in modes):
            yield "open for writing"


def test_only_one_file_changes_what_lies_in_shared_storage() -> None:
    files = [
        path
        for part in ("checkpoints", "operators", "hooks", "sensors")
        for path in (ROOT / part).rglob("*.py")
    ]
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {change}"
        for path in files
        for change in changes(path)
    }
    assert {words for words in found if words.startswith(DOOR)}
    assert {words for words in found if not words.startswith(DOOR)} == ALLOWED
