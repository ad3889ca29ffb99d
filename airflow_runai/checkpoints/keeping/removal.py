"""
Removing checkpoints: first the name, then the bytes, so that nobody ever sees half of one.

A checkpoint becomes ``.trash-retention-…`` by one rename and is deleted under that name. Between
the two it is asked once more whether somebody has begun to need it; then it gets its name back.
What an interrupted removal left behind is dealt with by the next one in the same way. Trash that is
a link was left by nobody here, and stays.
"""

from __future__ import annotations

import uuid
from contextlib import suppress
from pathlib import Path

from airflow_runai.checkpoints.checking.reader import cause
from airflow_runai.checkpoints.keeping.leases import forget_expired
from airflow_runai.checkpoints.keeping.retention import (
    RetentionPlan,
    RetentionProblem,
    needed_by_others,
)
from airflow_runai.checkpoints.storage.checkpoint_files import files_of
from airflow_runai.checkpoints.storage.directory_handle import Folder

_TRASH = ".trash-retention-"


def remove(plan: RetentionPlan, *, now: float) -> tuple[Path, ...]:
    """
    Do what a plan says.

    :param now: epoch seconds, for leases.
    :return: what is gone; less than planned where something is needed by now, or was gone already.
    :raises RetentionProblem: when it cannot be known what is needed, or a name cannot be taken;
        then nothing more is removed.
    """
    try:
        with Folder.at(plan.root, plan.below) as root:
            _sweep(root, plan, now)
            return tuple(
                checkpoint for checkpoint in plan.remove if _removed(root, checkpoint, plan, now)
            )
    except OSError as error:
        raise RetentionProblem(
            f"{plan.root}: cannot be used ({cause(error)}); nothing more was removed"
        ) from error


def _removed(root: Folder, checkpoint: Path, plan: RetentionPlan, now: float) -> bool:
    if checkpoint.name in _needed(plan, now):
        return False
    trash = f"{_TRASH}{uuid.uuid4().hex}"
    try:
        if checkpoint.parent != plan.root:
            raise OSError(f"it does not lie in {plan.root}")
        names = [piece.name for piece in files_of(checkpoint)]
        root.make(trash)
        with root.enter(trash) as folder:
            for name in names:
                root.move(name, folder)
    except OSError as error:
        _put_back(root, trash)
        if isinstance(error, FileNotFoundError):
            return False
        raise RetentionProblem(
            f"{checkpoint}: cannot be renamed ({error}); nothing more was removed"
        ) from error
    return _settle(root, trash, checkpoint.name, plan, now)


def _settle(root: Folder, trash: str, name: str, plan: RetentionPlan, now: float) -> bool:
    """Delete what has lost its name, unless somebody has taken it up in that moment."""
    try:
        wanted = name in _needed(plan, now)
    except BaseException:
        _put_back(root, trash)
        raise
    if wanted:
        _put_back(root, trash)
    else:
        _delete(root, trash)
    return not wanted


def _put_back(root: Folder, trash: str) -> None:
    """Give a checkpoint its name again; an index comes back after its data."""
    # Another removal may be at it, too.
    with suppress(FileNotFoundError), root.enter(trash) as folder:
        for name in sorted(folder.names(), key=lambda name: name.endswith(".index")):
            with suppress(FileNotFoundError):
                if root.kind(name) is None:
                    folder.move(name, root)
    # It stays if a name was taken meanwhile.
    with suppress(OSError):
        root.drop(trash)


def _delete(root: Folder, trash: str) -> None:
    # What cannot be deleted now has lost its name all the same; the next removal tries again.
    with suppress(OSError):
        root.clear(trash)


def _sweep(root: Folder, plan: RetentionPlan, now: float) -> None:
    """Finish what an interrupted removal began, or one that is under way elsewhere."""
    forget_expired(plan.root, now=now, below=plan.below)
    for trash in sorted(name for name in root.names() if name.startswith(_TRASH)):
        if root.kind(trash) != "directory":
            continue
        held: set[str] = set()
        with suppress(FileNotFoundError), root.enter(trash) as folder:
            held.update(folder.names())
        # Asked after the look: whoever holds it by now has asked for it before it lost its name.
        if _needed(plan, now).keys() & held:
            _put_back(root, trash)
        else:
            _delete(root, trash)


def _needed(plan: RetentionPlan, now: float) -> dict[str, str]:
    return needed_by_others(plan.root, plan.champion, now, plan.below)
