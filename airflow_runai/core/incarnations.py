"""Which incarnation of a workload runs or has just left, from what a wait says of its timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from typing import Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.texts import cut
from airflow_runai.core.timeline import AWAY, TIMELINE_LIMIT, Moment
from airflow_runai.core.usage import Incarnation, runs
from airflow_runai.core.workload import epoch

#: Nodes of one incarnation that are named.
MAX_NODES = 3
#: Seconds. Servers tell whole ones: what seems to be made this long before the end of an
#: incarnation may be the next one's.
_CLOCK_STEP = 1.0
#: Where :func:`airflow_runai.core.timeline.bounded` cuts.
CUT_AT = TIMELINE_LIMIT // 10


@dataclass(frozen=True, slots=True)
class Sighting:
    """
    The newest incarnation, as seen at one moment.

    :param number: from 1; 0 before the first one runs.
    :param kind: what the workload's phase means.
    :param since: epoch seconds at which that phase began.
    """

    number: int
    kind: Meaning
    since: float

    @property
    def runs(self) -> bool:
        """Whether it runs."""
        return self.kind is Meaning.RUNNING

    @property
    def has_left(self) -> bool:
        """Whether it leaves or has left, to come back as the next one."""
        return self.number > 0 and (self.kind is Meaning.LEAVING or self.kind in AWAY)


def sighting(news: JsonMapping) -> Sighting:
    """Read what :func:`airflow_runai.core.outcome.news` has made."""
    kind, moments = meaning(str(news.get("phase"))), news.get("timeline") or []
    since = float(moments[-1]["at"]) if moments else 0.0
    if not any(meaning(moment["phase"]) is Meaning.RUNNING for moment in moments):
        return Sighting(0, kind, since)
    interruptions = int(news["clocks"]["interruptions"])
    # While it is away, its interruption is counted already; while it still leaves, it is not.
    return Sighting(interruptions if kind in AWAY else interruptions + 1, kind, since)


def shown_lives(timeline: Sequence[Moment], nodes: Sequence[str]) -> list[JsonObject]:
    """
    Return when and where each incarnation lived, as the tab shows it.

    Of a timeline that was cut, only those behind the cut.

    :param nodes: of the first ones, empty where that is not known.
    """
    lives = runs(timeline, inf)
    places = [*nodes, *[""] * len(lives)]
    shown = [
        {"since": life.start, "node": node, **({} if life.end == inf else {"until": life.end})}
        for life, node in zip(lives, places, strict=False)
    ]
    if len(timeline) < TIMELINE_LIMIT:
        return shown
    before = sum(life.start < timeline[CUT_AT].at for life in lives)
    # The beginning of the first one behind it, and what was there earlier, may have been cut.
    return shown[before + 1 :]


def nodes_of(pods: Sequence[Mapping[str, Any]], lives: Sequence[Incarnation]) -> list[str]:
    """Return the nodes of each incarnation; empty where they are not known."""
    known = [(_life_of(pod, lives), cut(str(pod.get("nodeName") or ""))) for pod in pods]
    return [
        _some(sorted({node for number, node in known if node and number == index}))
        for index in range(len(lives))
    ]


def _life_of(pod: Mapping[str, Any], lives: Sequence[Incarnation]) -> int | None:
    """
    Return the index of the incarnation that a pod belongs to.

    A pod that is made while one lives takes the place of another, or waits for the next
    incarnation: Kubernetes makes new pods as soon as the old ones begin to leave.
    """
    made = epoch(pod.get("createdAt"))
    if not made:
        return None
    started = max(made, _started(pod) or 0.0)
    for index, life in enumerate(lives):
        if made <= life.start or started < life.end - _CLOCK_STEP:
            return index
    return None


def _started(pod: Mapping[str, Any]) -> float | None:
    """Return when the first container started, if the server tells."""
    containers = pod.get("containers")
    listed = containers if isinstance(containers, list) else []
    times = [epoch(one.get("startedAt")) for one in listed if isinstance(one, Mapping)]
    return min((at for at in times if at), default=None)


def _some(nodes: Sequence[str]) -> str:
    more = f" and {len(nodes) - MAX_NODES} more" if len(nodes) > MAX_NODES else ""
    return ", ".join(nodes[:MAX_NODES]) + more


def pod_at(pods: Sequence[Mapping[str, Any]], moment: float) -> Mapping[str, Any]:
    """Return the newest pod that existed at a moment; an empty one if none is known."""
    known = [(epoch(pod.get("createdAt")) or 0.0, pod) for pod in pods]
    earlier = [pair for pair in known if pair[0] <= moment]
    return max(earlier, key=lambda pair: pair[0], default=(0.0, {}))[1]
