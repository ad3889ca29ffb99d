"""Whether somebody had a reason to stop a workload: a person, a limit that was truly reached, a clear, or nothing."""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.airflow import FINISHED
from tests.simulation.simulation import Played
from tests.simulation.story import Fact
from tests.simulation.world import FINAL, Workload

#: Seconds by which an enforced limit may be early: looks take time, and servers cut fractions of
#: seconds.
SLACK = 3.0
#: Seconds for which the answer to the last look before it may have been on its way.
ANSWER = 0.3
#: Seconds that reading an object and what is beside it may take.
READ = 1.0
RUNNING = ("Running", "Degraded", "Updating")
STARTING = ("Creating", "Initializing", "Resuming", "Terminating")
#: Any other phase tells nothing: what was before it goes on.
KNOWN = (*RUNNING, *STARTING, "Pending", "Stopping", "Stopped", *FINAL)
STATES = (
    "none",
    "scheduled",
    "queued",
    "running",
    "restarting",
    "deferred",
    "up_for_retry",
    *FINISHED,
)


def reason_missing(played: Played, deed: Fact, workload: Workload) -> str:
    """
    Tell why a deed was wrong; empty if it was right.

    :param deed: a deletion or suspension by our code.
    """
    if deed.kind == "deleted" and deed.phase in FINAL:
        return ""
    sent = _sent_at(played, deed, workload)
    # On a cluster, an object is read before it is changed, and what decides lies before that.
    decided = sent - READ if played.history.cluster else sent
    if any(state_at(played, moment) in FINISHED for moment in (decided, sent)):
        return ""
    if _cleared_for_a_restart(played, deed, workload):
        return ""
    if any(
        w.task == workload.task and workload.created < w.created <= deed.at
        for w in played.world.workloads
    ):
        return ""  # an older generation has no right to live
    timeouts = dict(played.ti.task.timeouts) if deed.who.startswith("worker") else {}
    if timeouts and "list pods" in played.forbidden:
        return ""  # a limit: the Job alone says what runs, and only when it is looked at
    spent = clocks_at(played, workload, deed.at)
    reached = {
        clock for clock, used in spent if clock in timeouts and used >= timeouts[clock] - SLACK
    }
    if reached:
        seen = _sent_at(played, deed, workload) - ANSWER
        stale = (
            reached <= {"queue", "interruption", "starting"}
            and workload.phase_at(seen)[1] in RUNNING
        )
        return "it runs again" if stale else ""
    return _cause(played, deed)


def _sent_at(played: Played, deed: Fact, workload: Workload) -> float:
    """Tell when the call was sent that has this effect: what happens while it travels, no sender can know."""
    sender = deed.who.partition(" (")[0]
    sent = [
        f.at
        for f in played.story.of("sent")
        if f.who == sender
        and (workload.id in f.call or f.call.endswith(f"/{workload.name}"))
        and f.call.startswith("DELETE") == (deed.kind == "deleted")
        and f.at <= deed.at
    ]
    return sent[-1] if sent else deed.at


def _cause(played: Played, deed: Fact) -> str:
    if not deed.who.startswith("worker"):
        marked = any(f.at <= deed.at for f in played.facts("marked"))
        return "kill after a clear" if marked else "nobody ended the task"
    acts = {f.what for f in played.story.of("act") if f.at <= deed.at}
    if "retries" in acts:
        return "retries were edited"
    machinery = played.history.machinery
    skewed = machinery.worker_skew or machinery.triggerer_skew or played.history.platform.clock_off
    return (
        ("limit by a wrong clock" if skewed else "limit not reached")
        if played.ti.task.timeouts
        else "other"
    )


def state_at(played: Played, moment: float) -> str:
    """Tell the state of the task at a moment."""
    states = [
        f.kind
        for f in played.story.facts
        if f.who == played.ti.task_id and f.kind in STATES and f.at <= moment
    ]
    return states[-1]


def _cleared_for_a_restart(played: Played, deed: Fact, workload: Workload) -> bool:
    if played.ti.task.on_clear != "restart" or not deed.who.startswith("worker"):
        return False
    made_by = int(workload.variables.get("AIRFLOW_RUNAI_TRY") or 0)
    clears = [f for f in played.facts("cleared") if f.at <= deed.at]
    return any(made_by <= f.attempt or workload.created <= f.at for f in clears)


def clocks_at(played: Played, workload: Workload, now: float) -> Iterator[tuple[str, float]]:
    """
    Tell, by clock, what it shows at ``now``, and what it showed at the end of each stretch before.
    """
    yield "total", now - workload.created
    away_total = running = 0.0
    began = False
    # Nobody can know more than somebody was told: a stretch may begin and end between two looks.
    # A server that tells no times is believed to change phases when it tells them.
    platform = played.history.platform
    timeless = platform.history in ("none", "forbidden") and not platform.tells_when
    phases = (
        (at, phase, workload.told.get(place))
        for place, (at, phase, _) in enumerate(workload.phases)
    )
    told = [(seen if timeless else at, phase) for at, phase, seen in phases if seen is not None]
    past = [p for p in told if p[0] < now - 0.001 and p[1] in KNOWN]
    away_since = workload.created
    for (at, phase), until in zip(past, [*(p[0] for p in past[1:]), now], strict=True):
        if phase in RUNNING:
            began, running = True, running + until - at
            away_since = until
            yield "running", running
            continue
        if not began:
            yield "queue", until - workload.created
        else:
            away_total += until - at
            yield "interruption", until - away_since
            yield "interrupted_total", away_total
        if phase in STARTING:
            yield "starting", until - at
