"""
What happens in a checkpoint directory while a training runs.

Linux tells every change (inotify), in their order and without a gap: a checkpoint that is renamed
into place, one that is filled under its final name, one that lived for a millisecond. Elsewhere the
directory is looked at every few milliseconds, which sees less. Only names directly in the directory
are watched, and only those of checkpoints.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from airflow_runai.checkpoints import RootProblem, candidates, check
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.storage.listing import is_temporary
from airflow_runai.drill.changes import Change, Changes, changes_in
from airflow_runai.drill.facts import Write

_PATIENCE = 10.0


class DirectoryWatcher:
    """
    Notes checkpoints as they appear, in a thread of its own, for as long as a ``with`` block lasts.

    :param root: the checkpoint directory; it must exist.
    :param now: tells the time of a write.
    :param growing: called at once when a checkpoint begins to be filled under its final name.
    """

    def __init__(
        self, root: Path, now: Callable[[], float], growing: Callable[[str], None]
    ) -> None:
        self.writes: list[Write] = []
        self._root, self._now, self._growing = root, now, growing
        self._filled: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._changes: Changes = changes_in(root)

    def __enter__(self) -> DirectoryWatcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_PATIENCE)
        self._changes.close()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for change in self._changes.wait():
                self._note(change)
        for change in self._changes.wait(0.0):
            self._note(change)

    def _note(self, change: Change) -> None:
        name = change.name
        if not self._is_checkpoint(change):
            return
        if change.kind == "arrived":
            self._wrote(name, in_place=False)
        elif change.kind == "made" or (change.kind == "filled" and name not in self._filled):
            # A directory that is made, not renamed, is empty at first: what belongs in it comes
            # under its final name.
            self._filled.add(name)
            self._growing(name)
            if change.kind == "made":
                self._wrote(name, in_place=True)
        elif change.kind == "closed" and name in self._filled:
            self._filled.discard(name)
            self._wrote(name, in_place=True)

    def _wrote(self, name: str, in_place: bool) -> None:
        at, step = self._now(), step_in_name(name)
        if step is None:
            step = check(self._root / name, level=1).step
        self.writes.append(Write(at, name, step, in_place))

    def _is_checkpoint(self, change: Change) -> bool:
        name = change.name
        if name.startswith(".") or is_temporary(name):
            return False
        if change.directory:
            return step_in_name(name) is not None
        with suppress(RootProblem):
            return any(one.path.name == name for one in candidates(self._root))
        return False
