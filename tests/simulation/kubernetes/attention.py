"""
When somebody of ours could see the cluster: the stretches in which a process waited for a task, and nothing blinded it.

What was not done then has no excuse; what was not done outside of them has one.
"""

from __future__ import annotations

from collections.abc import Iterator

from tests.simulation.justice import STATES
from tests.simulation.kubernetes.people import GARBAGE, REFUSING
from tests.simulation.simulation import Played
from tests.simulation.story import Fact

#: Rights without which a failure cannot be counted, or nothing follows from it.
COUNTING = ("list pods", "get jobs", "list jobs", "patch jobs")
#: Seconds for which a right must be refused to be believed missing, and how long that is remembered.
BELIEVED, REMEMBERED = 30.0, 600.0
#: Seconds for which an answer may be awaited, and the longest pause after it, with its jitter.
_ANSWER, _PAUSE = 30.0, 390.0
#: Seconds of a stream without a line after which nobody believes that it lives.
_SILENCE = 90.0
#: Annotations without which nobody knows whose Job it is, or what its author allows.
_HIDING = (
    "airflow-runai/fingerprint empty",
    *(f"airflow-runai/backoff-limit {how}" for how in GARBAGE),
)

Stretch = tuple[float, float]


def longest_look(played: Played, since: float, until: float) -> float:
    """Tell for how many seconds in a row somebody could see what there was to see, at most."""
    blind = sorted(_blind(played))
    return max(
        (
            end - begin
            for seen in _awaited(played)
            for begin, end in _without(blind, max(seen[0], since), min(seen[1], until))
        ),
        default=0.0,
    )


def was_refused(
    played: Played, right: str, since: float, until: float, *, remembered: bool = False
) -> bool:
    """
    Tell whether ours lacked a right some time in between.

    :param remembered: or may have believed that they lacked it, because they did before.
    """
    return right in played.forbidden or any(
        act.at <= until and act.at + (_hidden(act) if remembered else act.seconds) >= since
        for act in played.story.of("act", what="right is taken", detail=right)
    )


def _hidden(taken: Fact) -> float:
    """Tell for how many seconds nobody uses a right that was taken."""
    return float(taken.seconds + (REMEMBERED if taken.seconds > BELIEVED else 0.0))


def lasts_a_refusal(played: Played, moment: float) -> bool:
    """Tell whether something had been refused for so long that it may be believed."""
    return any(
        f.at + BELIEVED <= moment <= f.at + f.seconds + REMEMBERED
        for f in played.story.of("act")
        if f.what == "right is taken" or (f.what, f.detail) == ("outage", "403")
    )


def _awaited(played: Played) -> Iterator[Stretch]:
    """Tell when a worker or a triggerer looked after the task."""
    own = [f for f in played.story.facts if _is_about(played, f)]
    ends = [*own[1:], played.story.facts[-1]]
    for fact, following in zip(own, ends, strict=True):
        if fact.kind in ("running", "picked up"):
            yield fact.at, following.at


def _is_about(played: Played, fact: Fact) -> bool:
    if fact.kind in STATES:
        return fact.who == played.ti.task_id
    if fact.kind == "crashed":
        return True  # there is one triggerer, but for a moment
    return fact.kind in ("picked up", "fired", "broke", "died") and fact.ti == played.ti.task_id


def _blind(played: Played) -> Iterator[Stretch]:
    """Tell when nothing could be seen or done; pauses grow with what they wait for."""
    for fact in played.story.of("trouble"):
        yield fact.at, fact.at + _ANSWER + _pause_after(0.0)
    for act in played.story.of("act"):
        seconds = _seconds(act)
        if seconds is not None:
            yield act.at, act.at + seconds + _ANSWER + _pause_after(seconds)
    if set(COUNTING).intersection(played.forbidden):
        yield 0.0, float("inf")


def _seconds(act: Fact) -> float | None:
    """Tell for how long an act hides something; ``None`` if it hides nothing."""
    if act.what in ("outage", "token is lost"):
        return float(act.seconds)
    if act.what == "API server restarts":
        return float(act.seconds + min(REFUSING, act.seconds))
    if act.what == "streams fall silent":
        return _SILENCE
    if act.what == "right is taken" and act.detail in COUNTING:
        return _hidden(act)
    if act.what == "annotate" and act.detail in _HIDING:
        return float("inf")
    return None


def _pause_after(seconds: float) -> float:
    """Tell how long a pause is that grew in so many seconds."""
    return min(_PAUSE, 60.0 + 1.3 * seconds)


def _without(blind: list[Stretch], since: float, until: float) -> Iterator[Stretch]:
    """Tell what is left of a stretch."""
    for begin, end in blind:
        if begin > since:
            yield since, min(begin, until)
        since = max(since, end)
    yield since, until
