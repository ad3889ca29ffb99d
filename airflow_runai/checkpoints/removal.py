"""
Removing checkpoints: first the name, then the bytes, so that nobody ever sees half of one.

A checkpoint becomes ``.trash-retention-…`` by one rename and is deleted under that name. Between the two it is asked
once more whether somebody has begun to need it; then it gets its name back. What an interrupted removal left behind is
dealt with by the next one in the same way.
"""

from __future__ import annotations

import os
import shutil
import uuid
from pathlib import Path

from airflow_runai.checkpoints.companions import pieces
from airflow_runai.checkpoints.leases import forget_expired
from airflow_runai.checkpoints.retention import Plan, RetentionProblem, needed_by_others

__all__ = ["remove"]

_TRASH = ".trash-retention-"


def remove(plan: Plan, *, now: float) -> tuple[Path, ...]:
    """
    Do what a plan says.

    :param now: epoch seconds, for leases.
    :return: what is gone; less than planned where something is needed by now, or was gone already.
    :raises RetentionProblem: when it cannot be known what is needed, or a name cannot be taken; then nothing more is
        removed.
    """
    _sweep(plan, now)
    return tuple(checkpoint for checkpoint in plan.remove if _removed(checkpoint, plan, now))


def _removed(checkpoint: Path, plan: Plan, now: float) -> bool:
    if checkpoint.name in needed_by_others(plan.root, plan.champion, now):
        return False
    trash = plan.root / f"{_TRASH}{uuid.uuid4().hex}"
    try:
        trash.mkdir()
        for piece in pieces(checkpoint):
            os.rename(piece, trash / piece.name)
    except OSError as error:
        _put_back(trash)
        if isinstance(error, FileNotFoundError):
            return False
        raise RetentionProblem(f"{checkpoint}: cannot be renamed ({error}); nothing more was removed") from error
    return _settle(trash, checkpoint.name, plan, now)


def _settle(trash: Path, name: str, plan: Plan, now: float) -> bool:
    """Delete what has lost its name, unless somebody has taken it up in that moment."""
    try:
        wanted = name in needed_by_others(plan.root, plan.champion, now)
    except BaseException:
        _put_back(trash)
        raise
    if wanted:
        _put_back(trash)
        return False
    shutil.rmtree(trash, ignore_errors=True)
    return True


def _put_back(trash: Path) -> None:
    """Give a checkpoint its name again; an index comes back after its data."""
    if not trash.exists():
        return
    for piece in sorted(trash.iterdir(), key=lambda piece: piece.name.endswith(".index")):
        target = trash.parent / piece.name
        if not target.exists():
            os.rename(piece, target)
    if not any(trash.iterdir()):
        trash.rmdir()


def _sweep(plan: Plan, now: float) -> None:
    """Finish what an interrupted removal began, or one that is under way elsewhere."""
    forget_expired(plan.root, now=now)
    for trash in sorted(plan.root.glob(f"{_TRASH}*")):
        held = {piece.name for piece in trash.glob("*")}
        # Asked after the look: whoever holds it by now has asked for it before it lost its name.
        if needed_by_others(plan.root, plan.champion, now).keys() & held:
            _put_back(trash)
        else:
            shutil.rmtree(trash, ignore_errors=True)
