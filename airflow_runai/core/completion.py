"""
Whether exit code 0 means done: a training that is told to leave may end with it half way.

Run:ai calls such a workload ``Completed`` and never resumes it. Waits, the drill and the simulation
decide it here. The opposite is here, too: a training that was killed because it took too long.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from airflow_runai.core.phases import FINAL, Meaning, meaning
from airflow_runai.core.timeline import AWAY, Moment

#: Seconds. Where a run may have passed that nobody saw, an end that comes later is not the end of
#: this leave. A leave without such a gap takes as long as its grace, which has no upper limit.
LONGEST_GRACE = 3600.0

#: Suspended soon: pods are going down, as with ``Terminating``.
_BEING_SUSPENDED = ("Stopping", "Suspending")
#: ``preemptible`` says only what may happen.
_PREEMPTION = re.compile("preempt(?!ib)", re.IGNORECASE)
#: It happens now, and to this one; ``preempting train-b`` does not.
_PREEMPTION_NOW = re.compile(r"^preempting\b(?! *\w)|\b(?:is|are) being preempted\b", re.IGNORECASE)


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

    What the platform does not call a preemption may be the end itself, and words may tell of an
    earlier one; see :func:`leaving_into`.

    :param reached_end: see :func:`is_complete`.
    """
    _, words = _last_leave(timeline)
    if is_complete(told_to_leave=bool(words), reached_end=reached_end):
        return ""
    return f"ended with exit code 0 after the platform had begun to take it away: {words}"


def leaving_into(timeline: Sequence[Moment]) -> Moment | None:
    """
    Return the moment that casts doubt on a completion; ``None`` if nothing does.

    It stopped running then, whatever the reason, or the platform spoke of a preemption.
    """
    return _last_leave(timeline)[0]


def speaks_of_preemption(moment: Moment) -> bool:
    """Return whether the platform's words tell of a preemption, now or before."""
    return bool(_PREEMPTION.search(moment.message))


def _last_leave(timeline: Sequence[Moment]) -> tuple[Moment | None, str]:
    """Return the moment that casts doubt, and the words that leave none."""
    leave = _Leave()
    for moment in sorted(timeline, key=_order):
        leave.read(moment)
    return leave.verdict()


def _order(moment: Moment) -> tuple[float, int]:
    # Within one second, the order of a history is chance.
    return moment.at, {Meaning.SUCCEEDED: 1, Meaning.DELETING: 2}.get(meaning(moment.phase), 0)


@dataclass(slots=True)
class _Leave:
    """
    The leave in which a history ends, read moment by moment.

    :param left: when it began; ``None`` while it runs.
    :param preempted: when the platform called it a preemption.
    :param mention: words of a preemption that may be an earlier one.
    :param end: when it completed.
    :param runs: this incarnation was seen to run.
    :param again: an incarnation before it was.
    :param away: it was seen without pods since it left.
    :param vague: what it did since it left is not sure.
    :param said: all messages.
    """

    left: Moment | None = None
    preempted: Moment | None = None
    mention: Moment | None = None
    end: Moment | None = None
    runs: bool = False
    again: bool = False
    away: bool = False
    vague: bool = False
    said: set[str] = field(default_factory=set)

    def verdict(self) -> tuple[Moment | None, str]:
        """Return the moment that casts doubt, and the words that leave none."""
        began = self.preempted or self.left
        if self.end is None or began is None:
            return self.mention if self.end else None, ""
        if self.vague and self.end.at - began.at > LONGEST_GRACE:
            return None if self.away else self.left, ""
        return self.left, self.preempted.message if self.preempted else ""

    def read(self, moment: Moment) -> None:
        """Go on to the next moment."""
        kind = meaning(moment.phase)
        if kind is Meaning.UNKNOWN:
            self.vague |= self.left is not None
        elif kind is Meaning.STARTING:
            self._begin(runs=False)
        elif kind is Meaning.RUNNING:
            self._run(moment)
        elif kind is Meaning.SUCCEEDED:
            self._complete(moment)
        elif self.end is None:  # else a finished workload is removed
            self._go(moment, kind)
        self.said.add(moment.message)

    def _begin(self, *, runs: bool) -> None:
        self.again |= self.runs and not (runs and self.left is None)
        self.left = self.preempted = self.mention = self.end = None
        self.away = self.vague = False
        self.runs = runs

    def _run(self, moment: Moment) -> None:
        is_whole = moment.phase == "Running"
        # Pods that are missing while it goes down: it goes on to go down.
        goes_down = self.left is not None and not is_whole
        ran = self.runs and not self.away
        if not goes_down:
            self._begin(runs=True)
        elif self.away:
            self.preempted = None  # some of its pods may have begun again
        if not self._is_news(moment):
            return
        if _PREEMPTION_NOW.search(moment.message) or (ran and not is_whole):
            self.left, self.preempted = self.left or moment, self.preempted or moment
            # An elastic training may go on without the pods that it lost.
            self.vague |= not is_whole
        elif not self.again:
            self.mention = moment

    def _go(self, moment: Moment, kind: Meaning) -> None:
        is_away = kind in {*AWAY, Meaning.FAILED} and moment.phase not in _BEING_SUSPENDED
        if not self.runs and kind is not Meaning.LEAVING:
            if is_away:  # it ends with 0 in a later incarnation
                self._begin(runs=False)
            return
        self.away |= is_away
        self.vague |= is_away
        self.left = self.left or moment
        if speaks_of_preemption(moment):
            self.preempted = self.preempted or moment

    def _complete(self, moment: Moment) -> None:
        self.end = self.end or moment
        if self._is_news(moment):
            self.mention = self.mention or moment

    def _is_news(self, moment: Moment) -> bool:
        """Whether words of a preemption are new: servers leave old ones where they are."""
        return speaks_of_preemption(moment) and moment.message not in self.said


def kills(timeline: Sequence[Moment], grace: float) -> int:
    """
    Count how often a training took its whole grace to leave, so that it was killed.

    No API tells it: no history holds exit codes. A phase ``Terminating``, ``Stopping`` or
    ``Suspending`` that is not shown, or is shown late, is not counted. An unknown phase carries no
    information: the one before it goes on.

    :param grace: seconds between SIGTERM and SIGKILL.
    """
    return sum(
        meaning(following.phase) is not Meaning.SUCCEEDED and following.at - began.at >= grace > 0
        for began, following in _times_going_down(timeline)
    )


def _times_going_down(timeline: Sequence[Moment]) -> Iterator[tuple[Moment, Moment]]:
    """Return when it began to go down, and what followed; not the removal of what has ended."""
    is_over, began = False, None
    for moment in timeline:
        kind = meaning(moment.phase)
        if kind is Meaning.UNKNOWN:
            continue
        if kind is Meaning.LEAVING or moment.phase in _BEING_SUSPENDED:
            began = began or (None if is_over else moment)
            continue
        if began:
            yield began, moment
        began = None
        is_over = kind in FINAL or (is_over and kind is Meaning.DELETING)
