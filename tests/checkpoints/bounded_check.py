"""A check in a process of its own, held to the bounds that every file must keep."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

MAX_PEAK_KIB = 256 * 1024
#: Of processor time. The costliest take 2 to 5; on a slow machine three times as many.
MAX_SECONDS = 30

_PROGRAM = """
import json, sys, time
from pathlib import Path
from airflow_runai.checkpoints import check
begin = time.process_time()
report = check(Path(sys.argv[1]))
lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = int(lines["VmHWM"].split()[0])  # getrusage would count the parent's memory from before exec
print(json.dumps([report.verdict.value, time.process_time() - begin, peak, [f.code for f in report.findings]]))
"""


class Cost(NamedTuple):
    """What a check said and cost: seconds of processor time, peak of memory in KiB."""

    verdict: str
    seconds: float
    peak_kib: int
    codes: list[str]


def cost_of(path: Path) -> Cost:
    """Check a file."""
    command = [sys.executable, "-c", _PROGRAM, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return Cost(*json.loads(done.stdout))


def bounded_verdict(path: Path) -> str:
    """Check a file, hold the check to its bounds, and return the verdict."""
    cost = cost_of(path)
    assert cost.peak_kib < MAX_PEAK_KIB, cost
    assert cost.seconds < MAX_SECONDS, cost
    assert "reader-defect" not in cost.codes, cost
    return cost.verdict
