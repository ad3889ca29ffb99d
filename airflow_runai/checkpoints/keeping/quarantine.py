"""
Put a bad checkpoint aside, so that nobody who takes the newest one takes it: by one rename, never deleted.

``ROOT/step-690`` becomes ``ROOT/quarantine/step-690/step-690`` with the report beside it. That
folder lies inside of the root because a root is often a mounted volume, and a rename does not leave
its file system. Each folder is made anew for one checkpoint, so nothing is ever overwritten; to
take one back, move it.

On object storage there is no rename: copying and deleting can be interrupted half-way and would
make things worse. So there it is refused; selection passes such a checkpoint over anyway.
"""

from __future__ import annotations

import json
from itertools import count
from pathlib import Path

from airflow_runai.checkpoints.checking.examination import Policy
from airflow_runai.checkpoints.checking.report import Report, Verdict
from airflow_runai.checkpoints.storage.checkpoint_files import list_checkpoint, pieces
from airflow_runai.checkpoints.storage.directory_handle import Folder
from airflow_runai.checkpoints.storage.listing import Location
from airflow_runai.errors import RunaiError

__all__ = ["BAD", "QUARANTINE", "QuarantineProblem", "quarantine"]

QUARANTINE = "quarantine"
NOTE = "report.json"
#: What may be put aside: it is known to be bad, and not merely unknown.
BAD = (Verdict.INVALID, Verdict.POISONED, Verdict.UNSAFE)


class QuarantineProblem(RunaiError, RuntimeError):
    """A checkpoint was left where it is, and why."""


def quarantine(checkpoint: Location, report: Report, *, below: Path | None = None) -> Path:
    """
    Move a checkpoint that was found bad into the quarantine folder of its root.

    :param report: what was found; it must be about the files that lie there now.
    :param below: the directory from which on no link is followed; in the root itself none is.
    :return: where it is now.
    :raises QuarantineProblem: when it is not known to be bad, has changed since, or cannot be
        renamed.
    """
    if report.verdict not in BAD:
        words = ", ".join(verdict.value for verdict in BAD)
        raise QuarantineProblem(
            f"{checkpoint}: is {report.verdict}; only {words} ones are put aside"
        )
    if any(finding.code == "is-root" for finding in report.findings):
        raise QuarantineProblem(
            f"{checkpoint}: is a root of checkpoints; name the one to put aside"
        )
    if not isinstance(checkpoint, Path):
        raise QuarantineProblem(
            f"{checkpoint}: object storage has no rename; it was left there, selection passes it"
        )
    if _seen_now(checkpoint) != report.mark:
        raise QuarantineProblem(f"{checkpoint}: changed since it was looked at; look at it again")
    try:
        parts = [part.name for part in pieces(checkpoint)]
        with (
            Folder.holding(checkpoint, below) as root,
            root.enter(QUARANTINE, make=True) as ward,
            _cell(ward, checkpoint.name) as cell,
        ):
            _move(parts, report, root, ward, cell)
            return checkpoint.parent / QUARANTINE / cell.path.name / checkpoint.name
    except OSError as error:
        raise QuarantineProblem(
            f"{checkpoint}: cannot be renamed ({error}); it was left there"
        ) from error


def _seen_now(checkpoint: Path) -> str:
    try:
        return list_checkpoint(checkpoint, Policy().entry_limit, lambda name, error: None).mark
    except OSError:
        return ""


def _cell(ward: Folder, name: str) -> Folder:
    """A folder that nobody had before; making a directory is exclusive."""
    for number in count(1):
        own = name if number == 1 else f"{name}.{number}"
        try:
            ward.make(own)
        except FileExistsError:
            continue
        return ward.enter(own)
    raise AssertionError("numbers do not end")


def _move(parts: list[str], report: Report, root: Folder, ward: Folder, cell: Folder) -> None:
    moved: list[str] = []
    try:
        # The note comes first: whoever finds the checkpoint there finds the reason, too.
        cell.write(NOTE, (json.dumps(report.to_json(), indent=1) + "\n").encode())
        for part in parts:
            root.move(part, cell)
            moved.append(part)
    except BaseException:
        for part in reversed(moved):
            cell.move(part, root)
        cell.remove(NOTE)
        ward.drop(cell.path.name)
        raise
