"""
Whether exit code 0 means done: a training that is told to leave may end with it half way.

Run:ai calls such a workload ``Completed`` and never resumes it. Waits, the drill and the simulation
decide it here. The opposite is here, too: a training that was killed because it took too long.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.timeline import Moment

#: Seconds. No training takes longer to leave: an end that comes later has another cause, such as a
#: run that nobody saw.
LONGEST_GRACE = 3600.0


def is_complete(*, told_to_leave: bool, reached_end: bool = False) -> bool:
    """
    Decide whether a training that ended with exit code 0 has come to its end.

    :param told_to_leave: the platform had begun to take it away.
    :param reached_end: what it saved last is what it was to reach: an honest last step within the
        grace.
    """
    return reached_end or not told_to_leave


def why_incomplete(timeline: Sequence[Moment], *, reached_end: bool = False) -> str:
    """
    Return the sentence for a completion that is none, by the platform's own words; empty if it is.

    What the platform does not call a preemption may be the end itself; see :func:`leaving_into`.

    :param reached_end: see :func:`is_complete`.
    """
    words = next((moment.message for moment in _leaving(timeline) if moment.is_preemption), "")
    if is_complete(told_to_leave=bool(words), reached_end=reached_end):
        return ""
    return f"ended with exit code 0 after the platform had begun to take it away: {words}"


def leaving_into(timeline: Sequence[Moment]) -> Moment | None:
    """Return the moment at which what then completed stopped running, whatever the reason."""
    return next(iter(_leaving(timeline)), None)


def _leaving(timeline: Sequence[Moment]) -> list[Moment]:
    """Return what lies between the last run and the completion; nothing if it started again."""
    known = [moment for moment in timeline if meaning(moment.phase) is not Meaning.UNKNOWN]
    ends = [i for i, moment in enumerate(known) if meaning(moment.phase) is Meaning.SUCCEEDED]
    end = ends[-1] if ends else 0
    between: list[Moment] = []
    for moment in reversed(known[:end]):
        kind = meaning(moment.phase)
        if kind is Meaning.RUNNING:
            between.reverse()
            return _just_before(known[end].at, between)
        if kind is Meaning.STARTING:
            break
        between.append(moment)
    return []


def _just_before(end: float, between: list[Moment]) -> list[Moment]:
    return between if between and end - between[0].at <= LONGEST_GRACE else []


def kills(timeline: Sequence[Moment], grace: float) -> int:
    """
    Count how often a training took its whole grace to leave, so that it was killed.

    No API tells it: no history holds exit codes. A phase ``Terminating`` that is not shown, or is
    shown late, is not counted.

    :param grace: seconds between SIGTERM and SIGKILL.
    """
    return sum(
        meaning(moment.phase) is Meaning.LEAVING
        and meaning(following.phase) is not Meaning.SUCCEEDED
        and following.at - moment.at >= grace > 0
        for moment, following in pairwise(timeline)
    )
