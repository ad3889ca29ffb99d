"""Limits that passed: what exceeds one is stopped, as soon as the control plane answers, and not later."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.simulation.airflow import FINISHED
from tests.simulation.justice import clocks_at, state_at
from tests.simulation.simulation import Played
from tests.simulation.violation import Violation
from tests.simulation.world import Workload

#: Seconds that may pass: pauses between looks, a worker slot, a worker that dies, a retry.
LATEST = 1800.0
_GIVEN_UP = re.compile(
    r"(?:AirflowFailException|WorkloadEnded): workload (\S+) (?:timed_out|stalled): "
)


def a_limit_is_enforced(played: Played) -> Iterator[Violation]:
    """Check: "`on_kill`, until it is seen to have an effect; else the task waits on", and for long it waits on only."""
    if played.ti.task.on_kill == "keep" or played.ti.sensor_of:
        return
    for fact in played.facts("raised"):
        if ended := _GIVEN_UP.match(fact.error):
            for workload in [w for w in played.mine if w.name == ended[1] and w.lives_at(fact.at)]:
                yield Violation(
                    "limit not enforced",
                    fact.at,
                    f"the task gives up {workload.name}, which goes on",
                )
    for workload in played.mine:
        yield from _forgotten(played, workload)


def _forgotten(played: Played, workload: Workload) -> Iterator[Violation]:
    timeouts, now = dict(played.ti.task.timeouts), _last_alive(played, workload)
    # What a restarted triggerer may not know of the other clocks is a promise of its own.
    known = ("total", "running") if played.history.platform.history == "full" else ("total",)
    for clock, used in {
        c: used for c, used in clocks_at(played, workload, now) if c in known and c in timeouts
    }.items():
        since = max(now - (used - timeouts[clock]), _blind_until(played, workload))
        if now - since > LATEST and _awaited(played, since, now):
            yield Violation(
                "limit forgotten",
                now,
                f"{clock} of {workload.name} is {used:.0f} s: {timeouts[clock]:.0f} s",
            )


def _last_alive(played: Played, workload: Workload) -> float:
    now = played.story.facts[-1].at
    return min(now, max((until for _, until in workload.stretches), default=now))


def _blind_until(played: Played, workload: Workload) -> float:
    outages: list[float] = [f.at + f.seconds for f in played.story.of("act", what="outage")]
    return max([workload.hidden_until, *outages])


def _awaited(played: Played, since: float, until: float) -> bool:
    own = (f for f in played.story.facts if f.who == played.ti.task_id and since <= f.at <= until)
    return state_at(played, since) not in FINISHED and not any(f.kind in FINISHED for f in own)
