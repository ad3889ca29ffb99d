"""
KAI-Scheduler itself as one part of the rig: its five programs, started, kept up and ended together.

``python -m tests.rig.kai_programs BIN --kubeconfig FILE`` is what ``start`` runs in a folder that
``RUNAI_RIG_KAI`` names; ``BIN`` holds the programs of version 0.13.0. They listen on loopback,
without webhooks, and look five times a second, as the stand-in does and as they did when the
recordings were made. What they are started with was read in the source of that version.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType

from tests.rig import ports

LOOPBACK = "127.0.0.1"
#: Name of each program to its flags; ``{at}`` is where it listens once it works.
PROGRAMS: Mapping[str, Sequence[str]] = {
    "scheduler": (
        "--listen-address={at}",
        "--plugin-server-port=0",
        "--schedule-period=200ms",
        "--default-staleness-grace-period=5s",
    ),
    "podgrouper": ("--health-probe-bind-address={at}", "--metrics-bind-address=0"),
    "binder": ("--health-probe-bind-address={at}", "--metrics-bind-address=0"),
    # It ignores its flag for the metrics: they are on port 8080 of every interface.
    "podgroupcontroller": ("--health-probe-bind-address={at}", "--enable-podgroup-webhook=false"),
    "queuecontroller": ("--metrics-listen-address={at}", "--enable-webhook=false"),
}
CONDITION = "--update-pod-eviction-condition=true"
SECONDS_PER_LOOK = 0.05
#: A kubelet would start a container again after a pause, too.
SECONDS_PER_LIFE = 1.0


class KaiPrograms:
    """
    The five programs.

    :param folder: where they lie.
    :param eviction_condition: whether the scheduler marks the pods that it evicts.
    """

    def __init__(self, folder: Path, kubeconfig: Path, eviction_condition: bool) -> None:
        self._folder = folder
        self._environment = {**os.environ, "KUBECONFIG": str(kubeconfig)}
        self._more = {"scheduler": [CONDITION]} if eviction_condition else {}
        self._ports = ports.choose(tuple(PROGRAMS))
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str) -> None:
        """Start one of them; it writes where we write."""
        at = f"{LOOPBACK}:{self._ports[name]}"
        flags = [*(flag.format(at=at) for flag in PROGRAMS[name]), *self._more.get(name, [])]
        self._running[name] = subprocess.Popen([self._folder / name, *flags], env=self._environment)

    def ended(self) -> list[str]:
        """Name those that have ended."""
        return [name for name, one in self._running.items() if one.poll() is not None]

    def work(self) -> bool:
        """Tell whether all of them listen."""
        return all(self._listens(name) for name in PROGRAMS)

    def end(self) -> None:
        """End all at once; whatever they know is in the API."""
        for one in self._running.values():
            one.kill()
        for one in self._running.values():
            one.wait()

    def _listens(self, name: str) -> bool:
        with socket.socket() as one:
            return one.connect_ex((LOOPBACK, self._ports[name])) == 0


def main() -> int:
    """Work until SIGTERM or SIGINT; print ``ready`` once all of them work."""
    asked = _arguments()
    stop = threading.Event()

    def _stop(number: int, frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    programs = KaiPrograms(asked.programs, asked.kubeconfig, asked.eviction_condition)
    try:
        for name in PROGRAMS:
            programs.start(name)
        return _keep_up(programs, stop)
    finally:
        programs.end()


def _keep_up(programs: KaiPrograms, stop: threading.Event) -> int:
    works = False
    while not stop.wait(SECONDS_PER_LOOK):
        for name in programs.ended():
            print(f"{name} has ended", flush=True)
            if not works:
                return 1
            stop.wait(SECONDS_PER_LIFE)
            programs.start(name)
        if not works and programs.work():
            works = True
            print("ready", flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="start", description="KAI-Scheduler v0.13.0")
    parser.add_argument("programs", type=Path, metavar="BIN", help=f"holds {', '.join(PROGRAMS)}")
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--eviction-condition", action="store_true", help=f"as {CONDITION}")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())
