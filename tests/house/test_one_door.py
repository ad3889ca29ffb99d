"""Only one module changes files in shared storage, and it follows no link."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2] / "airflow_runai"
ONLY_WRITER = "checkpoints/storage/directory_handle.py"
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
#: Object storage has no links, so a module of its own may write there.
ALLOWED = {
    "checkpoints/storage/small_files.py: unlink",
    "checkpoints/storage/small_files.py: open for writing",
}


def changes(path: Path) -> Iterator[str]:
    """Find the calls in a file that change a file system."""
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        owner, name = called(node.func)
        if owner == "shutil" or name in (FUNCTIONS if owner == "os" else METHODS):
            yield name
        if name == "open" and any(map(is_write_mode, node.args)):
            yield "open for writing"


def called(function: ast.expr) -> tuple[str, str]:
    """Return the owner, if it has a plain name, and the name of what is called."""
    if isinstance(function, ast.Attribute):
        owner = function.value.id if isinstance(function.value, ast.Name) else ""
        return owner, function.attr
    return "", getattr(function, "id", "")


def is_write_mode(argument: ast.expr) -> bool:
    if not isinstance(argument, ast.Constant) or not isinstance(argument.value, str):
        return False
    return len(argument.value) < 4 and bool(set(argument.value) & set("wax+"))


def test_only_one_module_changes_files_in_shared_storage() -> None:
    folders = [ROOT / part for part in ("checkpoints", "operators", "hooks", "sensors", "tasks")]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    found = {
        f"{path.relative_to(ROOT).as_posix()}: {change}"
        for path in files
        for change in changes(path)
    }
    assert {change for change in found if change.startswith(ONLY_WRITER)}
    assert {change for change in found if not change.startswith(ONLY_WRITER)} == ALLOWED
