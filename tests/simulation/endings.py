"""Why a workload may have been left behind: how its task ended."""

from __future__ import annotations

from tests.simulation.simulation import Played
from tests.simulation.story import Fact
from tests.simulation.world import FOREVER, HIDDEN, LATE_READ, LATE_STOP, Workload

REFUSALS = ("Unauthorized", "Forbidden", "NotResolved", "NotFound", "ForeignWorkload", "Refused")


def how_it_ended(played: Played, workload: Workload) -> str:
    """Name the way in which the task of a workload that goes on has ended."""
    end = [f for f in played.story.of(str(played.ti.state)) if f.who == played.ti.task_id][-1]
    if any(workload.was_denied(lie, end.at - 60.0, FOREVER) for lie in (LATE_READ, LATE_STOP)):
        return "a 404 was believed"
    if end.why.startswith("marked"):
        return f"marked while {end.why.rpartition(' ')[2].lower()}"
    if end.why == "its worker died":
        return "the worker died on its last try"
    return _by_its_words(played, end, workload.was_denied(HIDDEN, end.at - 60.0, FOREVER))


def _by_its_words(played: Played, end: Fact, hidden: bool) -> str:
    fired = [f.status for f in played.facts("fired") if f.at <= end.at][-1:]
    words = end.why.removeprefix("AirflowFailException: ")
    if " gone: " in words or hidden:
        return "it was not gone"
    if fired in (["timed_out"], ["stalled"]) or " timed_out: " in words or " stalled: " in words:
        return "a limit could not be enforced"
    if "told to stop" in words:
        return "drained on its last try"
    if " stopped: " in words:
        return "it was suspended, and resumed"
    kind = words.partition(":")[0]
    return "refused at a retry" if kind in REFUSALS else f"ended by {kind}"
