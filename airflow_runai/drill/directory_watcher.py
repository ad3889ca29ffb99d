"""
What happens in a checkpoint directory while a training runs.

Linux reports every change (inotify), in order and without gaps: a checkpoint that is renamed into
place, one that is filled under its final name, one that lived for a millisecond. Elsewhere the
directory is polled, which sees less. Only names of checkpoints directly in the directory count.
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

_JOIN_SECONDS = 10.0


class DirectoryWatcher:
    """
    Records checkpoints as they appear, in a thread of its own, while a ``with`` block lasts.

    :param root: the checkpoint directory; it must exist.
    :param now: the clock for the time of a write.
    :param on_growing: called at once when a checkpoint begins to be filled under its final name.
    """

    def __init__(
        self, root: Path, now: Callable[[], float], on_growing: Callable[[str], None]
    ) -> None:
        self.writes: list[Write] = []
        self._root, self._now, self._on_growing = root, now, on_growing
        self._growing: set[str] = set()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._changes: Changes = changes_in(root)

    def __enter__(self) -> DirectoryWatcher:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(_JOIN_SECONDS)
        self._changes.close()

    def _watch(self) -> None:
        while not self._stop.is_set():
            for change in self._changes.wait():
                self._handle(change)
        for change in self._changes.wait(0.0):  # what came between the last wait and the stop
            self._handle(change)

    def _handle(self, change: Change) -> None:
        name = change.name
        if not self._is_checkpoint(change):
            return
        if change.kind == "arrived":
            self._record(name, in_place=False)
        elif change.kind == "made":
            # A new directory is empty: its content will be written under its final name.
            self._start_growing(name)
            self._record(name, in_place=True)
        elif change.kind == "filled" and name not in self._growing:
            self._start_growing(name)
        elif change.kind == "closed" and name in self._growing:
            self._growing.discard(name)
            self._record(name, in_place=True)

    def _start_growing(self, name: str) -> None:
        self._growing.add(name)
        self._on_growing(name)

    def _record(self, name: str, in_place: bool) -> None:
        at, step = self._now(), step_in_name(name)
        if step is None:  # the name does not tell, the content may
            step = check(self._root / name, level=1).step
        self.writes.append(Write(at, name, step, in_place))

    def _is_checkpoint(self, change: Change) -> bool:
        name = change.name
        if name.startswith(".") or is_temporary(name):
            return False
        if change.directory:
            return step_in_name(name) is not None
        # Names of files tell too little: what selection would take counts.
        with suppress(RootProblem):
            return any(one.path.name == name for one in candidates(self._root))
        return False
