"""
Put a bad checkpoint aside, so that nobody who takes the newest one takes it: by one rename, never deleted.

``ROOT/step-690`` becomes ``ROOT/quarantine/step-690/step-690`` with the report beside it. That folder lies inside of
the root because a root is often a mounted volume, and a rename does not leave its file system. Each folder is made
anew for one checkpoint, so nothing is ever overwritten; to take one back, move it.

On object storage there is no rename: copying and deleting can be interrupted half-way and would make things worse. So
there it is refused; selection passes such a checkpoint over anyway.
"""

from __future__ import annotations

import json
import os
from itertools import count
from pathlib import Path

from airflow_runai.checkpoints.companions import list_checkpoint, pieces
from airflow_runai.checkpoints.examination import Policy
from airflow_runai.checkpoints.report import Report, Verdict
from airflow_runai.checkpoints.tree import Location

__all__ = ["BAD", "QUARANTINE", "QuarantineProblem", "quarantine"]

QUARANTINE = "quarantine"
NOTE = "report.json"
#: What may be put aside: it is known to be bad, and not merely unknown.
BAD = (Verdict.INVALID, Verdict.POISONED, Verdict.UNSAFE)


class QuarantineProblem(RuntimeError):
    """A checkpoint was left where it is, and why."""


def quarantine(checkpoint: Location, report: Report) -> Path:
    """
    Move a checkpoint that was found bad into the quarantine folder of its root.

    :param report: what was found; it must be about the files that lie there now.
    :return: where it is now.
    :raises QuarantineProblem: when it is not known to be bad, has changed since, or cannot be renamed.
    """
    if report.verdict not in BAD:
        words = ", ".join(verdict.value for verdict in BAD)
        raise QuarantineProblem(f"{checkpoint}: is {report.verdict}; only {words} ones are put aside")
    if not isinstance(checkpoint, Path):
        raise QuarantineProblem(f"{checkpoint}: object storage has no rename; it was left there, selection passes it")
    if _seen_now(checkpoint) != report.mark:
        raise QuarantineProblem(f"{checkpoint}: changed since it was looked at; look at it again")
    try:
        return _moved(checkpoint, report)
    except OSError as error:
        raise QuarantineProblem(f"{checkpoint}: cannot be renamed ({error}); it was left there") from error


def _seen_now(checkpoint: Path) -> str:
    try:
        return list_checkpoint(checkpoint, Policy().entry_limit, lambda name, error: None).mark
    except OSError:
        return ""


def _moved(checkpoint: Path, report: Report) -> Path:
    parts = pieces(checkpoint)
    folder = _folder(checkpoint)
    note, moved = folder / NOTE, list[Path]()
    try:
        # The note comes first: whoever finds the checkpoint there finds the reason, too.
        note.write_text(json.dumps(report.to_json(), indent=1) + "\n", encoding="utf-8")
        for part in parts:
            os.rename(part, folder / part.name)
            moved.append(part)
    except BaseException:
        for part in reversed(moved):
            os.rename(folder / part.name, part)
        note.unlink(missing_ok=True)
        folder.rmdir()
        raise
    return folder / checkpoint.name


def _folder(checkpoint: Path) -> Path:
    """A folder that nobody had before; making a directory is exclusive."""
    ward = checkpoint.parent / QUARANTINE
    ward.mkdir(exist_ok=True)
    for number in count(1):
        folder = ward / (checkpoint.name if number == 1 else f"{checkpoint.name}.{number}")
        try:
            folder.mkdir()
        except FileExistsError:
            continue
        return folder
    raise AssertionError("numbers do not end")
