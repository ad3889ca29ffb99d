"""
Removes checkpoints: first the name, then the bytes, so that no one sees half of one.

A checkpoint becomes ``.trash-retention-…`` by one rename and is deleted under that name. Before the
deletion, the champion pointer and leases are read again; a checkpoint that has come into use is
restored. The next removal treats what an interrupted one left behind in the same way. Trash that is
a link was not left by a removal, and stays.
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
    Carry out a plan.

    :param now: epoch seconds, for leases.
    :return: what was removed; without what is needed by now or was gone already.
    :raises RetentionProblem: if it is not known what is needed, or a rename fails; nothing more is
        removed then.
    """
    try:
        with Folder.at(plan.root, plan.below) as root:
            _sweep(root, plan, now)
            return tuple(path for path in plan.remove if _removed(root, path, plan, now))
    except OSError as error:
        text = f"{plan.root}: cannot be used ({cause(error)}); nothing more was removed"
        raise RetentionProblem(text) from error


def _removed(root: Folder, checkpoint: Path, plan: RetentionPlan, now: float) -> bool:
    if checkpoint.name in _needed(plan, now):
        return False
    trash = f"{_TRASH}{uuid.uuid4().hex}"
    try:
        if checkpoint.parent != plan.root:
            raise OSError(f"it does not lie in {plan.root}")
        names = [file.name for file in files_of(checkpoint)]
        root.make(trash)
        with root.enter(trash) as folder:
            for name in names:
                root.move(name, folder)
    except OSError as error:
        _put_back(root, trash)
        # Another removal, or the training itself, was faster.
        if isinstance(error, FileNotFoundError):
            return False
        text = f"{checkpoint}: cannot be renamed ({error}); nothing more was removed"
        raise RetentionProblem(text) from error
    return _settle(root, trash, checkpoint.name, plan, now)


def _settle(root: Folder, trash: str, name: str, plan: RetentionPlan, now: float) -> bool:
    """Delete what has lost its name, unless it has come into use; return whether it is gone."""
    try:
        is_needed = name in _needed(plan, now)
    except BaseException:
        _put_back(root, trash)
        raise
    if is_needed:
        _put_back(root, trash)
    else:
        _delete(root, trash)
    return not is_needed


def _put_back(root: Folder, trash: str) -> None:
    """Restore a checkpoint under its name; an index is restored after its data."""
    # Another removal may do the same at this moment.
    with suppress(FileNotFoundError), root.enter(trash) as folder:
        for name in sorted(folder.names(), key=lambda name: name.endswith(".index")):
            with suppress(FileNotFoundError):
                if root.kind(name) is None:
                    folder.move(name, root)
    # The folder stays if a name was taken in the meantime.
    with suppress(OSError):
        root.drop(trash)


def _delete(root: Folder, trash: str) -> None:
    # What cannot be deleted has lost its name all the same; the next removal tries again.
    with suppress(OSError):
        root.clear(trash)


def _sweep(root: Folder, plan: RetentionPlan, now: float) -> None:
    """Finish what an interrupted removal began, or one that runs elsewhere."""
    forget_expired(plan.root, now=now, below=plan.below)
    for trash in sorted(name for name in root.names() if name.startswith(_TRASH)):
        if root.kind(trash) != "directory":
            continue
        held: set[str] = set()
        with suppress(FileNotFoundError), root.enter(trash) as folder:
            held.update(folder.names())
        # Read after the listing: a holder by now took its lease before the name was lost.
        if _needed(plan, now).keys() & held:
            _put_back(root, trash)
        else:
            _delete(root, trash)


def _needed(plan: RetentionPlan, now: float) -> dict[str, str]:
    return needed_by_others(plan.root, plan.champion, now, plan.below)
