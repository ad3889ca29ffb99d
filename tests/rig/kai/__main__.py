"""The program that ``start`` runs: ``python -m tests.rig.kai --kubeconfig FILE``."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from pathlib import Path

from tests.rig.api import Api
from tests.rig.kai.parts import Parts


def main() -> None:
    """Work until SIGTERM or SIGINT; print ``ready`` once all collections have been read."""
    asked = _arguments()
    threading.excepthook = _end
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    parts = Parts(
        Api.from_kubeconfig(asked.kubeconfig), asked.eviction_condition, asked.staleness_grace
    )
    parts.read()
    while not parts.has_read(seconds=0.1):
        if stop.is_set():
            return
    parts.work()
    print("ready", flush=True)
    while not stop.wait(asked.period):
        parts.cycle()


def _end(what: threading.ExceptHookArgs) -> None:
    """A part that fails takes all with it: without it the rest would only seem to work."""
    sys.excepthook(what.exc_type, what.exc_value or what.exc_type(), what.exc_traceback)
    os._exit(1)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="start", description="a stand-in for KAI-Scheduler v0.13.0"
    )
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument(
        "--eviction-condition", action="store_true", help="as --update-pod-eviction-condition=true"
    )
    parser.add_argument("--period", type=float, default=0.2, help="seconds between two cycles")
    parser.add_argument(
        "--staleness-grace", type=float, default=5.0, help="seconds a gang may lack members"
    )
    return parser.parse_args()


if __name__ == "__main__":
    main()
