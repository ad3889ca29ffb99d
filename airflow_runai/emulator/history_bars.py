"""
A workload's history as the bars of a timeline.

Only for the emulator's own page. The provider draws its own timeline from the same history: two
readers that share no code, so that a wrong reading shows.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from airflow_runai.emulator import phases
from airflow_runai.emulator.records import EmulatedWorkload, Record

#: A training preempted every minute for days must not make the page heavy: only the newest bars are
#: drawn.
MAX_BARS = 200
_KINDS = {
    phases.CREATING: "queued",
    phases.PENDING: "queued",
    phases.RESUMING: "queued",
    phases.INITIALIZING: "starting",
    phases.RUNNING: "running",
    phases.STOPPED: "suspended",
}


@dataclass(frozen=True)
class HistoryBar:
    """
    A period in which nothing changed, in epoch seconds.

    :param kind: its colour: ``queued, starting, running, preempted, suspended`` or ``stopping``.
    """

    since: float
    until: float
    kind: str
    phase: str
    message: str


def history_bars(workload: EmulatedWorkload, now: float) -> list[HistoryBar]:
    """List the periods of a workload, oldest first; the time after its end is not one of them."""
    records = [record for record in workload.history if record.phase]
    # Each phase lasts until the next one begins.
    ends = [*(record.at for record in records[1:]), workload.deleted_at or now]
    bars = [
        HistoryBar(record.at, max(record.at, end), _kind(record), record.phase, record.message)
        for record, end in zip(records, ends, strict=True)
        if record.phase not in phases.ENDED
    ]
    return bars[-MAX_BARS:]


def interruptions(workload: EmulatedWorkload) -> int:
    """Count how often it stopped running without being finished or deleted."""
    reached = [record.phase for record in workload.history if record.phase]
    # Who deletes a running workload has not interrupted it.
    final = phases.ENDED | {phases.DELETING}
    pairs = pairwise(reached)
    return sum(before == phases.RUNNING and after not in final for before, after in pairs)


def _kind(record: Record) -> str:
    # Only the message tells a preemption from another wait.
    goes = record.phase in (phases.TERMINATING, phases.PENDING)
    if goes and "preempted" in record.message.lower():
        return "preempted"
    return _KINDS.get(record.phase, "stopping")
