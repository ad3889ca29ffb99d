"""Which incarnation of a workload runs or has just left, from what a wait says of its timeline."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.timeline import AWAY
from airflow_runai.core.workload import epoch


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


def pod_at(pods: Sequence[Mapping[str, Any]], moment: float) -> Mapping[str, Any]:
    """Return the newest pod that existed at a moment; an empty one if none is known."""
    known = [(epoch(pod.get("createdAt")) or 0.0, pod) for pod in pods]
    earlier = [pair for pair in known if pair[0] <= moment]
    return max(earlier, key=lambda pair: pair[0], default=(0.0, {}))[1]
