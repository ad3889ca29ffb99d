"""
Who in a process tree handles SIGTERM.

Read from ``/proc`` and nowhere else: what a script says about itself is no proof. The first process
matters most, because in a container it has process id 1, and for that one Linux drops every signal
without a handler. The embedded Run:ai signals the whole group; Kubernetes signals this one process
only. On systems without ``/proc`` all is ``unknown``.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

from airflow_runai.drill.facts import SigtermHandler

_BIT = 1 << (signal.SIGTERM - 1)


def sigterm_handler(pid: int) -> tuple[SigtermHandler, str]:
    """
    Say whom SIGTERM would reach, and how the first process is called.

    :param pid: the process that Run:ai started.
    """
    first = _status(pid)
    if not first:
        return "unknown", ""
    tree = [first, *filter(None, map(_status, _descendants(pid)))]
    name = first.get("Name", "")
    if _has(first, "SigCgt"):
        return "first", name
    if any(_has(process, "SigCgt") for process in tree):
        return "child", name
    return ("ignored" if any(_has(process, "SigIgn") for process in tree) else "nobody"), name


def _has(status: dict[str, str], mask: str) -> bool:
    return bool(int(status.get(mask, "0"), 16) & _BIT)


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return {}
    return {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}


def _descendants(pid: int) -> Iterator[int]:
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from _descendants(child)
