"""What a queue of a scheduler allows a project: KAI's Queue, or the ClusterQueue of Kueue's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.kubernetes.gpus import gpus_by_flavor, gpus_in
from airflow_runai.core.kubernetes.objects import at, rows, word
from airflow_runai.core.quota import Quota

_MOST = 1e9


@dataclass(frozen=True)
class QueueBounds:
    """
    The GPUs of one queue.

    :param held: by whatever runs in it, in any namespace; ``None`` if the queue does not tell.
    :param without_cpu: the queue, itself or one above it, that allows no CPU: nothing starts.
    """

    quota: Quota
    held: float | None = None
    without_cpu: str = ""


def bounds_of_queues(chain: Sequence[Mapping[str, Any]]) -> QueueBounds:
    """
    Read Queues of KAI: the limits of all of them hold.

    :param chain: the project's own, then those above it; not empty.
    """
    own, status = chain[0], chain[0].get("status")
    limits = [limit for queue in chain if (limit := _bound(queue, "gpu", "limit")) is not None]
    barred = (word(one, "metadata", "name") for one in chain if _bound(one, "cpu", "limit") == 0)
    return QueueBounds(
        Quota(_bound(own, "gpu", "quota"), min(limits, default=None)),
        gpus_in(at(status, "allocated")) if status else None,
        next(barred, ""),
    )


def bounds_of_cluster_queue(queue: Mapping[str, Any]) -> QueueBounds:
    """Read a ClusterQueue of Kueue; one that has no GPUs at all lets none through."""
    flavors = list(_flavors(queue))
    nominal = gpus_by_flavor(flavors, "nominalQuota")
    borrowed = gpus_by_flavor(flavors, "borrowingLimit")
    in_cohort = bool(word(queue, "spec", "cohortName") or word(queue, "spec", "cohort"))
    is_bounded = not in_cohort or not nominal or len(borrowed) == len(nominal)
    limit = sum(nominal) + sum(borrowed) if is_bounded else None
    return QueueBounds(Quota(sum(nominal), limit), _reserved(queue))


def held_in_queues(queues: Sequence[Mapping[str, Any]]) -> float | None:
    """Add up what the lowest of all Queues hold; ``None`` if none of them tells."""
    above = {word(queue, "spec", "parentQueue") for queue in queues}
    known = [one["status"] for one in queues if one.get("status")]
    lowest = [one for one in queues if word(one, "metadata", "name") not in above]
    held = sum(gpus_in(at(one, "status", "allocated")) for one in lowest)
    return held if known else None


def held_in_cluster_queues(queues: Iterable[Mapping[str, Any]]) -> float | None:
    """Add up what all ClusterQueues have given away; ``None`` if none of them tells."""
    held_by_each = [held for one in queues if (held := _reserved(one)) is not None]
    return sum(held_by_each) if held_by_each else None


def _reserved(queue: Mapping[str, Any]) -> float | None:
    # Reserved, not used: what is admitted has its quota before its pods run.
    flavors = list(rows(queue, "status", "flavorsReservation"))
    return sum(gpus_by_flavor(flavors, "total")) if flavors else None


def _flavors(queue: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for group in rows(queue, "spec", "resourceGroups"):
        yield from rows(group, "flavors")


def _bound(queue: Mapping[str, Any], resource: str, key: str) -> float | None:
    """Return a bound of KAI's: less than 0 is none, and what is left out is 0."""
    value = at(queue, "spec", "resources", resource, key)
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    found = float(value) if is_number else 0.0
    return found if 0 <= found < _MOST else None
