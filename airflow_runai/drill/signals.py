"""
Which process of a tree handles SIGTERM.

Read from ``/proc`` alone: what a script says about itself proves nothing. The first process matters
most: in a container it has process id 1, for which Linux drops every signal without a handler. The
embedded Run:ai signals the whole group; Kubernetes signals this one process only. Without
``/proc``, the answer is ``unknown``.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

from airflow_runai.drill.facts import SigtermHandler

# The kernel's masks begin with signal 1 in bit 0.
_SIGTERM = 1 << (signal.SIGTERM - 1)


def sigterm_handler(pid: int) -> tuple[SigtermHandler, str]:
    """
    Return who handles SIGTERM, and the name of the first process.

    :param pid: the process that Run:ai started.
    """
    first = _status(pid)
    if not first:
        return "unknown", ""
    processes = [first, *filter(None, map(_status, _descendants(pid)))]
    return _handler(first, processes), first.get("Name", "")


def _handler(first: Mapping[str, str], processes: list[dict[str, str]]) -> SigtermHandler:
    if _has_sigterm(first, "SigCgt"):
        return "first"
    if any(_has_sigterm(process, "SigCgt") for process in processes):
        return "child"
    if any(_has_sigterm(process, "SigIgn") for process in processes):
        return "ignored"
    return "nobody"


def _has_sigterm(status: Mapping[str, str], mask: str) -> bool:
    return bool(int(status.get(mask, "0"), 16) & _SIGTERM)


def _status(pid: int) -> dict[str, str]:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    # It may have ended meanwhile, or have a name in another encoding.
    except (OSError, UnicodeDecodeError):
        return {}
    found = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
    # A process that has ended keeps its entry, without its handlers, until its parent asks.
    return {} if found.get("State", "").startswith("Z") else found


def _descendants(pid: int) -> Iterator[int]:
    try:
        # Those of the main thread, which in shells and Python starts them.
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return
    for child in map(int, children):
        yield child
        yield from _descendants(child)
