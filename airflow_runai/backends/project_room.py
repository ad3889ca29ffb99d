"""
The room in a project, asked of the control plane: four requests, one more a page of workloads.

One more tells which workloads ended a short while ago, for those who wait for them. The workloads
are read before the free GPUs: one that starts in between is then counted twice, and not missed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from airflow_runai.backends import capacity
from airflow_runai.backends.organization import MAX_NAMES
from airflow_runai.backends.paging import MAX_PAGES, ListTooLong, walk
from airflow_runai.core.flow import Flow, now
from airflow_runai.core.phases import Meaning, meaning
from airflow_runai.core.project import Project
from airflow_runai.core.quota import Quota, gpus_in, node_pools
from airflow_runai.core.room import NODES, PROJECT, WORKLOADS, ProjectRoom
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import iso
from airflow_runai.errors import NotResolved, Refused, Unauthorized

if TYPE_CHECKING:
    from airflow_runai.backends.rows import Holding

T = TypeVar("T")

_QUEUED = (Meaning.WAITING, Meaning.STARTING)


def room(
    project: Project, node_pool: str | None = None, ended_within: float = 0.0
) -> Flow[ProjectRoom]:
    """
    Read how many GPUs a project may and can have now.

    :param node_pool: only those of this pool; by default those of all pools together.
    :param ended_within: seconds; name the workloads that have ended since, too.
    :raises NotResolved: if the project has no such node pool.
    """
    record = yield from _if_told(capacity.project_record(project))
    if record is not None and node_pool is not None:
        _check_pool(record, project, node_pool)
    found = yield from _if_told(_listed(project, "phase!=Completed,phase!=Failed"))
    ended = yield from _if_told(_ended(project, ended_within)) if ended_within else _nothing()
    free = yield from _if_told(capacity.gpus_of_nodes(project.cluster_id, "FREE_GPUS", node_pool))
    total = yield from _if_told(capacity.gpus_of_nodes(project.cluster_id, "TOTAL_GPUS", node_pool))
    answers = {PROJECT: record, WORKLOADS: found, NODES: free}
    mine = [row for row in found or () if _may_use(row, node_pool)]
    return ProjectRoom(
        Quota.from_wire(record or {}, node_pool),
        held=None if found is None else sum(map(_gpus_held, mine)),
        queued=sum(map(_gpus_queued, mine)),
        free=free,
        total=total,
        workloads=frozenset(str(row.name) for row in found or ()),
        unread=tuple(figure for figure, value in answers.items() if value is None),
        ended=frozenset(str(row.name) for row in ended or ()),
    )


def _if_told(flow: Flow[T]) -> Flow[T | None]:
    """Return ``None`` for what this server, or this identity's role, does not let us read."""
    try:
        return (yield from flow)
    except Unauthorized:
        raise
    except (Refused, capacity.NoFigure):
        return None


def _nothing() -> Flow[None]:
    yield from ()


def _ended(project: Project, seconds: float) -> Flow[Collection[Holding]]:
    """List the workloads of a project that ended a short while ago; none if they fill a page."""
    moment = yield from now()
    try:
        return (yield from _listed(project, f"completedAt>={iso(moment - seconds)}", 1))
    except ListTooLong:
        return ()


def _listed(
    project: Project, conditions: str, max_pages: int = MAX_PAGES
) -> Flow[Collection[Holding]]:
    # Imported here: it is not needed to parse a DAG.
    from airflow_runai.backends.rows import decode_holdings

    rows: dict[str, Holding] = {}

    def take(page: Sequence[Holding]) -> Flow[None]:
        yield from ()
        # Paging over a moving set repeats rows.
        rows.update((str(row.id), row) for row in page)

    params = [("filterBy", f"projectId=={project.id},{conditions}")]
    yield from walk("/api/v1/workloads", params, decode_holdings, take, max_pages)
    return rows.values()


def _check_pool(record: Mapping[str, Any], project: Project, node_pool: str) -> None:
    known = node_pools(record)
    if node_pool not in known:
        names = cut(", ".join(known[:MAX_NAMES])) or "none"
        raise NotResolved(
            f"node_pool {node_pool!r}: project {project.name!r} has no such node pool; "
            f"it has: {names}"
        )


def _may_use(row: Holding, node_pool: str | None) -> bool:
    """Whether a workload is in a node pool, or may get there."""
    pools = row.currentNodePools or row.requestedNodePools
    return node_pool is None or not isinstance(pools, list) or not pools or node_pool in pools


def _gpus_held(row: Holding) -> float:
    return capacity.gpus_held(row.allocatedResources)


def _gpus_queued(row: Holding) -> float:
    if meaning(str(row.phase)) not in _QUEUED:
        return 0.0
    return max(0.0, (gpus_in(row.workloadRequestedResources) or 0.0) - _gpus_held(row))
