"""
The control plane's REST API, each call as a flow.

Endpoints and shapes are those of versions 2.18 to 3.0. Nothing here knows Airflow, sends, or
sleeps. Replies are read leniently: an unknown field is ignored, an unknown phase is kept as it is,
a missing list counts as empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow_runai.backends.paging import read_all, walk
from airflow_runai.backends.replies import accept
from airflow_runai.backends.throttle import ENDED, HISTORY
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.mask import clean
from airflow_runai.core.naming import ending, generation_of
from airflow_runai.core.project import Project, refuse_commas
from airflow_runai.core.reader import WorkloadReader
from airflow_runai.core.texts import PHASE_LIMIT, printable
from airflow_runai.core.timeline import Moment, merge
from airflow_runai.core.workload import Workload, epoch
from airflow_runai.errors import NotFound, NotResolved, Refused, Unauthorized, Unreadable

if TYPE_CHECKING:
    from airflow_runai.backends.rows import Row

_WORKLOADS = "/api/v1/workloads"
#: Kubernetes' phases of pods that write no more.
_ENDED_PODS = ("succeeded", "failed")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def create(project: Project, kind: str, name: str, body: Mapping[str, Any]) -> Flow[Workload]:
    """
    Create a workload. Never call it twice without looking for ``name`` in between.

    :param kind: ``trainings`` or ``distributed``.
    :param body: the request without name, project and cluster.
    """
    where = {"name": name, "projectId": project.id, "clusterId": project.cluster_id}
    request = Request("POST", f"{_WORKLOADS}/{kind}", json={**where, **body})
    created = Workload.from_wire(accept(request, (yield request)), kind=_kind(kind))
    return replace(
        created,
        name=created.name or name,
        project_id=created.project_id or project.id,
        cluster_id=created.cluster_id or project.cluster_id,
    )


def _kind(path: str) -> str:
    return "Distributed" if path == "distributed" else "Training"


def get(workload_id: str, rank: int = ENDED) -> Flow[Workload]:
    """Read one workload of any type; raises ``NotFound``."""
    request = Request("GET", _path(workload_id), rank=rank)
    return Workload.from_wire(accept(request, (yield request)))


def get_spec(workload: Workload) -> Flow[Mapping[str, Any]]:
    """
    Read the specification that the workload was made from; empty if the server shows none.

    :raises Unreadable: for an answer without a body, which says nothing.
    """
    spec = (yield from get_whole(workload)).get("spec")
    return spec if isinstance(spec, Mapping) else {}


def get_whole(workload: Workload, rank: int = ENDED) -> Flow[Mapping[str, Any]]:
    """Read everything that the workload was made from; raises as :func:`get_spec`."""
    request = Request("GET", _path(workload.path, workload.id), rank=rank)
    body = accept(request, (yield request))
    if not isinstance(body, Mapping):
        raise Unreadable(f"GET {request.path}: no workload in the answer")
    return body


def find(
    project: Project, name: str, *, exact: bool = False, deleted: bool = False
) -> Flow[list[Workload]]:
    """
    List the workloads of a project, or of all if it has no id, whose name begins with ``name``.

    :param exact: the name must be ``name``.
    :param deleted: list the deleted ones instead of the present ones.
    """
    if exact:
        return (yield from _named(project, f"name=={name}", lambda n: n == name, deleted))
    return (yield from _named(project, f"name=^{name}", lambda n: n.startswith(name), deleted))


def find_generations(
    project: Project, digest: str, *, deleted: bool = False
) -> Flow[list[tuple[int, Workload]]]:
    """List the workloads of a task instance with their generations, whatever their slug."""

    def is_ours(name: str) -> bool:
        return generation_of(digest, name) is not None

    listed = yield from _named(project, f"name=@{ending(digest)}", is_ours, deleted)
    return [
        (generation, workload)
        for workload in listed
        if (generation := generation_of(digest, workload.name)) is not None
    ]


def _named(
    project: Project, condition: str, fits: Callable[[str], bool], deleted: bool
) -> Flow[list[Workload]]:
    within = [f"projectId=={project.id}"] if project.id else []
    items = yield from _list([("filterBy", ",".join([*within, condition]))], deleted)
    named = [item for item in items if isinstance(item.get("name"), str) and fits(item["name"])]
    # A workload of ours that cannot be read must not count as absent: a second one would follow.
    return [Workload.from_wire(item) for item in named]


def list_workloads(
    params: Sequence[tuple[str, str]], *, deleted: bool = False
) -> Flow[list[Workload]]:
    """List workloads, all pages, oldest first; leave out those that cannot be read."""
    return list(_readable((yield from _list(params, deleted))))


def walk_workloads(
    conditions: str, take: Callable[[Sequence[Row]], Flow[None]], max_pages: int
) -> Flow[int]:
    """Hand over the present workloads page by page, oldest first; see :func:`paging.walk`."""
    # Imported here: it is not needed to parse a DAG.
    from airflow_runai.backends.rows import decode_page

    query = [("filterBy", conditions), ("sortBy", "createdAt"), ("sortOrder", "asc")]
    return (yield from walk(_WORKLOADS, query, decode_page, take, max_pages))


def _list(params: Sequence[tuple[str, str]], deleted: bool) -> Flow[list[Mapping[str, Any]]]:
    query = [*params, ("sortBy", "createdAt"), ("sortOrder", "asc")]
    if not deleted:
        return (yield from read_all(_WORKLOADS, "workloads", query))
    items = yield from read_all(_WORKLOADS, "workloads", [*query, ("deleted", "true")])
    # Not every server says when; that it is listed here says enough.
    return [{**item, "deletedAt": item.get("deletedAt") or "listed"} for item in items]


def _readable(items: Sequence[Mapping[str, Any]]) -> Iterator[Workload]:
    for item in items:
        try:
            yield Workload.from_wire(item)
        except Unreadable:
            continue


def suspend(workload: Workload) -> Flow[None]:
    """Stop the workload's pods but keep the workload. Repeating it is harmless."""
    yield from _post(_path(workload.path, workload.id, "suspend"))


def resume(workload: Workload) -> Flow[None]:
    """Let a suspended workload queue again. Repeating it is harmless."""
    yield from _post(_path(workload.path, workload.id, "resume"))


def delete(workload: Workload) -> Flow[None]:
    """Delete the workload; that it is already gone counts as done."""
    request = Request("DELETE", _path(workload.path, workload.id))
    try:
        accept(request, (yield request))
    except NotFound:
        return


def _path(*segments: str) -> str:
    return "/".join([_WORKLOADS, *(quote(segment, safe="") for segment in segments)])


def _post(path: str) -> Flow[None]:
    request = Request("POST", path)
    accept(request, (yield request))


def history(workload_id: str, rank: int = HISTORY) -> Flow[tuple[Moment, ...]]:
    """
    Return the recorded phases, oldest first; none if the server keeps or shows no history.

    :param rank: whose turn it is where requests queue.

    :raises Unreachable: if there may be one that cannot be read now.
    """
    try:
        records = yield from read_all(_path(workload_id, "history"), "records", [], rank)
    except Unauthorized:
        raise
    except Refused:
        return ()
    except Unreadable as error:
        if error.status == 404:  # a server without this call may answer with a web page
            return ()
        raise
    return merge(_moments(records))


def _moments(records: Sequence[Mapping[str, Any]]) -> Iterator[Moment]:
    for record in records:
        spec, meta = record.get("spec"), record.get("meta")
        update = spec.get("phaseUpdate") if isinstance(spec, Mapping) else None
        at = epoch(meta.get("creationTimestamp")) if isinstance(meta, Mapping) else None
        if at is None or not isinstance(update, Mapping):
            continue
        phase, message = update.get("phase"), str(update.get("phaseMessage") or "")
        if isinstance(phase, str):
            yield Moment(at, printable(phase, PHASE_LIMIT), clean(message))


def standing_pods(workload_id: str) -> Flow[int]:
    """Count the pods that have not ended, also those of a deleted workload."""
    condition = [("filterBy", f"workloadId=={workload_id}")]
    listed = yield from read_all(f"{_WORKLOADS}/pods", "pods", condition)
    return sum(str(pod.get("k8sPhase") or "").lower() not in _ENDED_PODS for pod in listed)


class ControlPlaneReader(WorkloadReader):
    """
    Reads a workload: now, in the past, and among the deleted ones.

    :param start: the last known reading.
    """

    __slots__ = ("start",)

    def __init__(self, start: Workload) -> None:
        self.start = start

    def read(self, workload_id: str) -> Flow[Workload]:
        """Read it; raises ``NotFound``."""
        return get(workload_id)

    def history(self, workload_id: str) -> Flow[tuple[Moment, ...]]:
        """Return its recorded phases."""
        return history(workload_id)

    def find_deleted(self, workload_id: str) -> Flow[Workload | None]:
        """Return it if it is listed as deleted."""
        if not self.start.name:  # an old note may lack it
            return None
        listed = yield from find(Project.of(self.start), self.start.name, exact=True, deleted=True)
        return next((w for w in listed if w.id == workload_id), None)


def resolve(project: Project, name_or_id: str) -> Flow[Workload]:
    """
    Find a workload of a project by name or id.

    :raises NotResolved: if there is none.
    """
    if _ID.fullmatch(name_or_id):
        try:
            return (yield from get(name_or_id))
        except NotFound:
            pass
    else:
        refuse_commas("workload", name_or_id)
        if listed := (yield from find(project, name_or_id, exact=True)):
            return listed[-1]
    raise NotResolved(
        f"workload {name_or_id!r}: project {project.name!r} has none of this name or id"
    )
