"""
What a training's container runs on a real cluster: it works as its script says, and keeps what it has done.

A program of its own (``python -I -S training.py FOLDER``), so it imports nothing of ours. In the
folder: ``script.json``; ``busy`` while none may complete; and in a folder for each completion of a workload ``done`` (seconds of
work), ``lives`` (incarnations so far) and ``writer``, locked by whoever writes there.
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import IO, Any

TICK = 0.02


class Stopped(Exception):
    """SIGTERM came."""


def main(folder: Path) -> int:
    """Work to the end, or until it is told to stop; return the exit code."""
    signal.signal(signal.SIGTERM, _stop)
    script = json.loads((folder / "script.json").read_text())
    # Each member of a gang is the first and only completion of a Job of its own.
    index = os.environ.get("RANK") or os.environ.get("JOB_COMPLETION_INDEX", "0")
    own = folder / os.environ["JOB_NAME"] / index
    own.mkdir(parents=True, exist_ok=True)
    with (own / "writer").open("a") as lock:
        _take(lock, own)
        lives = _number(own / "lives") + 1
        (own / "lives").write_text(str(lives))
        print(f"life {lives:.0f} {os.environ.get('HUB_TOKEN', '')}", flush=True)
        try:
            return _work(own, script, script["exits"].get(f"{lives:.0f}"))
        except Stopped:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            time.sleep(script["stop_seconds"])
            return int(script["stop_exit_code"])


def _take(lock: IO[str], own: Path) -> None:
    for _ in range(25):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(TICK)  # somebody may only have looked
        else:
            return
    (own / "overlap").touch()
    raise SystemExit("another process writes here")


def _work(own: Path, script: dict[str, Any], special: list[float] | None) -> int:
    busy = own.parents[1] / "busy"
    began, before = time.monotonic(), _number(own / "done")
    said = _steps(script, before)
    while True:
        here = time.monotonic() - began
        # What is written down was said, and what was said is written down.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        if not special:
            _write(own / "done", before + here)
        for step in range(said, _steps(script, before + here)):
            print(f"step {step + 1}", flush=True)
        said = max(said, _steps(script, before + here))
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if special and here >= special[0]:
            return int(special[1])
        is_done = script["seconds"] is not None and before + here >= script["seconds"]
        if is_done and not special and not busy.exists():
            return int(script["exit_code"])
        time.sleep(TICK)


def _steps(script: dict[str, Any], done: float) -> int:
    """Return how many seconds of the script so much work is."""
    most = done if script["seconds"] is None else min(done, script["seconds"])
    return int(most / script["pace"] + 0.000001)


def _stop(number: int, frame: FrameType | None) -> None:
    raise Stopped


def _number(file: Path) -> float:
    return float(file.read_text()) if file.exists() else 0.0


def _write(file: Path, seconds: float) -> None:
    fresh = file.with_name("done.new")
    fresh.write_text(str(seconds))
    fresh.replace(file)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
