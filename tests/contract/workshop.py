"""The folder in which the trainings of a lane work: what they shall do, and who of them lives."""

from __future__ import annotations

import fcntl
import json
import shlex
import sys
from dataclasses import asdict
from pathlib import Path

from tests.contract import training
from tests.contract.rig import Script


class Workshop:
    """
    One folder.

    :param pace: seconds in one second of a script.
    """

    def __init__(self, folder: Path, pace: float) -> None:
        self._folder, self._pace = folder, pace
        self._before: set[tuple[str, str]] = set()
        self._seen: set[tuple[str, str]] = set()

    @property
    def command(self) -> str:
        """The command of a container."""
        return shlex.join([sys.executable, "-I", "-S", training.__file__, str(self._folder)])

    def play(self, script: Script) -> None:
        """Choose what trainings do that start from now on."""
        pace, told = self._pace, asdict(script)
        told["seconds"] = None if script.seconds is None else script.seconds * pace
        told["pace"] = pace
        told["stop_seconds"] = script.stop_seconds * pace
        told["exits"] = {n: (at * pace, code) for n, (at, code) in script.exits.items()}
        (self._folder / "script.json").write_text(json.dumps(told))

    def keep_busy(self, is_busy: bool) -> None:
        """Let no training complete."""
        mark = self._folder / "busy"
        mark.touch() if is_busy else mark.unlink(missing_ok=True)

    def lives(self, name: str) -> bool:
        """Tell whether a process of a workload runs."""
        return any(_is_locked(file) for file in self._folder.glob(f"{name}/*/writer"))

    def look_round(self) -> None:
        """Take note of who lives, whenever a wait has looked, too: of those before, it knows."""
        self._seen = self._before
        names = {one.name for one in self._folder.iterdir() if self.lives(one.name)}
        self._before = {(name, self._incarnation(name)) for name in names}

    def was_seen(self, name: str) -> bool:
        """Tell whether a wait knows of the present incarnation: of another one it may not."""
        return self.lives(name) and (name, self._incarnation(name)) in self._seen

    def _incarnation(self, name: str) -> str:
        files = sorted(self._folder.glob(f"{name}/*/lives"))
        return " ".join(file.read_text() for file in files)

    @property
    def overlaps(self) -> list[Path]:
        """Where two processes worked at the same time."""
        return list(self._folder.glob("*/*/overlap"))


def _is_locked(file: Path) -> bool:
    with file.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
