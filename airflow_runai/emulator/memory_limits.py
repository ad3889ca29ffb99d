"""
Limits of main memory, kept as a node's kernel keeps them: whoever exceeds one is killed.

There are no control groups here. The memory of a pod's processes is added up from time to time, so
a short peak goes unseen. On systems without ``/proc`` there is no limit.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from airflow_runai.emulator.quantities import quantity

#: Seconds between two looks at a workload that has a limit.
PAUSE = 0.2
#: Place of the session in ``/proc/PID/stat``, behind the name.
_SESSION = 3


def memory_limit(spec: Mapping[str, Any]) -> float | None:
    """Return the limit of a pod in bytes; None if it has none, or none that can be read."""
    text = (spec.get("compute") or {}).get("cpuMemoryLimit")
    with suppress(ValueError):
        return quantity(str(text)) if text else None
    return None


def own_bytes(session: int) -> int:
    """Return the memory that the processes of a session hold, without files and shared memory."""
    return sum(_own_pages(process) for process in _processes(session)) * os.sysconf("SC_PAGE_SIZE")


def _processes(session: int) -> Iterator[Path]:
    for path in Path("/proc").glob("[0-9]*/stat"):
        # A process may end at any moment.
        with suppress(OSError):
            # The name, in parentheses, may hold blanks.
            fields = path.read_text().rpartition(")")[2].split()
            if int(fields[_SESSION]) == session:
                yield path.parent


def _own_pages(process: Path) -> int:
    with suppress(OSError):
        _, resident, shared, *_ = (process / "statm").read_text().split()
        return int(resident) - int(shared)
    return 0
