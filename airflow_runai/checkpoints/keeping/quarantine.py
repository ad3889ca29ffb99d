"""
Moves a bad checkpoint aside by one rename, so that it is not taken as the newest; deletes nothing.

``ROOT/step-690`` becomes ``ROOT/quarantine/step-690/step-690`` with the report beside it. The
folder lies inside the root because a root is often a mounted volume, and a rename cannot leave its
file system. Each checkpoint gets a new folder, so nothing is overwritten; to restore one, move it
back.

Object storage has no rename: copying and deleting could be interrupted half-way and make things
worse. There a quarantine is refused; selection skips a bad checkpoint anyway.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

from airflow_runai.checkpoints.checking.findings import Verdict
from airflow_runai.checkpoints.checking.report import Report
from airflow_runai.checkpoints.storage.checkpoint_files import files_of, list_checkpoint
from airflow_runai.checkpoints.storage.directory_handle import Folder
from airflow_runai.checkpoints.storage.listing import Location
from airflow_runai.errors import RunaiError

QUARANTINE = "quarantine"
NOTE = "report.json"
#: Verdicts that allow a quarantine: known to be bad, not merely unknown.
BAD = (Verdict.INVALID, Verdict.POISONED, Verdict.UNSAFE)


class QuarantineProblem(RunaiError, RuntimeError):
    """A checkpoint was not moved."""


def quarantine(checkpoint: Location, report: Report, *, below: Path | None = None) -> Path:
    """
    Move a checkpoint that was found bad into the quarantine folder of its root.

    :param report: of the files as they are now.
    :param below: the directory below which no link is followed; in the root itself none is.
    :return: its new path.
    :raises QuarantineProblem: if it is not known to be bad, has changed since, or cannot be
        renamed.
    """
    path = _checked_path(checkpoint, report)
    try:
        names = [file.name for file in files_of(path)]
        with (
            Folder.holding(path, below) as root,
            root.enter(QUARANTINE, make=True) as ward,
            _new_folder(ward, path.name) as cell,
        ):
            _move(names, report, root, ward, cell)
            return path.parent / QUARANTINE / cell.path.name / path.name
    except OSError as error:
        text = f"{checkpoint}: cannot be renamed ({error}); it was left there"
        raise QuarantineProblem(text) from error


def _checked_path(checkpoint: Location, report: Report) -> Path:
    if report.verdict not in BAD:
        allowed = ", ".join(verdict.value for verdict in BAD)
        text = f"is {report.verdict}; only {allowed} ones are put aside"
        raise QuarantineProblem(f"{checkpoint}: {text}")
    if any(finding.code == "is-root" for finding in report.findings):
        raise QuarantineProblem(f"{checkpoint}: is a root of checkpoints; name one of them")
    if not isinstance(checkpoint, Path):
        text = "object storage has no rename; it was left there, selection skips it"
        raise QuarantineProblem(f"{checkpoint}: {text}")
    if _current_mark(checkpoint) != report.mark:
        raise QuarantineProblem(f"{checkpoint}: changed since it was checked; check it again")
    return checkpoint


def _current_mark(checkpoint: Path) -> str:
    try:
        return list_checkpoint(checkpoint).mark
    except OSError:
        return ""


def _new_folder(ward: Folder, name: str) -> Folder:
    """Make a folder under a free name; making a directory is exclusive."""
    for number in count(1):
        free = name if number == 1 else f"{name}.{number}"
        try:
            ward.make(free)
        except FileExistsError:
            continue
        return ward.enter(free)
    raise AssertionError("numbers do not end")


def _move(names: list[str], report: Report, root: Folder, ward: Folder, cell: Folder) -> None:
    # An index and its data files are several names, so that a move may end half-way.
    moved: list[str] = []
    try:
        # The note comes first, so that the checkpoint is never there without the reason.
        cell.write(NOTE, (json.dumps(report.to_json(), indent=1) + "\n").encode())
        for name in names:
            root.move(name, cell)
            moved.append(name)
    except BaseException:
        for name in reversed(moved):
            cell.move(name, root)
        cell.remove(NOTE)
        ward.drop(cell.path.name)
        raise
