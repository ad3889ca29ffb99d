"""One base class catches every error of ours."""

from __future__ import annotations

import ast
import builtins
from collections.abc import Iterator
from pathlib import Path

import airflow_runai
from airflow_runai.errors import InvalidArgument, SpecError

PACKAGE = Path(airflow_runai.__file__).parent
#: Other parties: the emulator plays the server, training code is copied into images.
ELSEWHERE = ("emulator", "training")
#: Caught inside: they end a reading or a sleep, and never leave the package.
INTERNAL = {
    "core/fields.py:Problems",
    "tasks/step_readers.py:OutOfSight",
    "checkpoints/containers/hdf5_probe.py:Refusal",
    "tasks/worker_stop.py:WorkerStopped",
}
#: What the operating system would have raised.
AS_THE_SYSTEM = {
    "checkpoints/storage/directory_handle.py:WrongKind",
    "checkpoints/storage/exclusive.py:NotExclusive",
}


def _is_builtin_error(base: ast.expr) -> bool:
    found = getattr(builtins, base.id, None) if isinstance(base, ast.Name) else None
    return isinstance(found, type) and issubclass(found, BaseException)


def _is_builtin_alone(node: ast.ClassDef) -> bool:
    is_public = not node.name.startswith("_")
    return is_public and bool(node.bases) and all(map(_is_builtin_error, node.bases))


def _without_our_base() -> Iterator[str]:
    """Name public classes that derive from errors of Python alone."""
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if place.partition("/")[0] in ELSEWHERE:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef) and _is_builtin_alone(node):
                yield f"{place}:{node.name}"


def test_every_error_that_can_leave_the_package_derives_from_one_base() -> None:
    assert set(_without_our_base()) == {"errors.py:RunaiError"} | INTERNAL | AS_THE_SYSTEM


def test_only_an_error_about_a_submission_speaks_of_one() -> None:
    assert str(InvalidArgument(["level: 7; allowed: 0 to 3"])) == "level: 7; allowed: 0 to 3"
    assert str(InvalidArgument(["a", "b"])) == "2 problems:\n  - a\n  - b"
    assert str(SpecError(["a"])) == "1 problem; nothing was submitted:\n  - a"
    assert SpecError(["a", "b"]).problems == ("a", "b")
