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
from typing import Any
from urllib.parse import quote

from airflow_runai.backends.organization import Project, refuse_commas
from airflow_runai.backends.paging import read_all
from airflow_runai.backends.replies import accept
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.naming import ending, generation_of
from airflow_runai.core.texts import PHASE_LIMIT, cut, printable
from airflow_runai.core.timeline import Moment, merge
from airflow_runai.core.waiting import WorkloadReader
from airflow_runai.core.workload import Workload, epoch
from airflow_runai.errors import NotFound, NotResolved, Refused, Unauthorized, Unreadable

_WORKLOADS = "/api/v1/workloads"
#: Words of Kubernetes for pods that write no more.
_ENDED_PODS = ("succeeded", "failed")
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def create(project: Project, kind: str, name: str, body: Mapping[str, Any]) -> Flow[Workload]:
    """
    Create a workload. Never call it twice without looking for ``name`` in between.

    :param kind: ``trainings`` or ``distributed``.
    :param body: the request without name, project and cluster.
    """
    whole = {"name": name, "projectId": project.id, "clusterId": project.cluster_id, **body}
    request = Request("POST", f"{_WORKLOADS}/{kind}", json=whole)
    made = Workload.from_wire(accept(request, (yield request)), kind=_kind(kind))
    made = replace(made, name=made.name or name, project_id=made.project_id or project.id)
    return replace(made, cluster_id=made.cluster_id or project.cluster_id)


def _kind(path: str) -> str:
    return "Distributed" if path == "distributed" else "Training"


def get(workload_id: str) -> Flow[Workload]:
    """Read one workload of any type; raises ``NotFound``."""
    request = Request("GET", _path(workload_id))
    return Workload.from_wire(accept(request, (yield request)))


def get_spec(workload: Workload) -> Flow[Mapping[str, Any]]:
    """
    Read the specification that the workload was made from; empty where the server does not tell.

    :raises Unreadable: for an answer without a body: silence is no specification.
    """
    request = Request("GET", _path(workload.path, workload.id))
    body = accept(request, (yield request))
    if not isinstance(body, Mapping):
        raise Unreadable(f"GET {request.path}: no workload in the answer")
    spec = body.get("spec")
    return spec if isinstance(spec, Mapping) else {}


def find(
    project: Project, name: str, *, exact: bool = False, deleted: bool = False
) -> Flow[list[Workload]]:
    """
    List the workloads of a project whose name is, or begins with, ``name``; of all projects if it has no id.

    :param deleted: list the deleted ones instead of the present ones.
    """
    fits = (lambda found: found == name) if exact else (lambda found: found.startswith(name))
    return (yield from _named(project, f"name{'==' if exact else '=^'}{name}", fits, deleted))


def find_generations(
    project: Project, digest: str, *, deleted: bool = False
) -> Flow[list[tuple[int, Workload]]]:
    """List what was made for a task instance, each with its generation, whatever the readable part of its name."""
    fits = lambda found: generation_of(digest, found) is not None  # noqa: E731
    listed = yield from _named(project, f"name=@{ending(digest)}", fits, deleted)
    return [
        (generation, w) for w in listed if (generation := generation_of(digest, w.name)) is not None
    ]


def _named(
    project: Project, condition: str, fits: Callable[[str], bool], deleted: bool
) -> Flow[list[Workload]]:
    within = [f"projectId=={project.id}"] if project.id else []
    items = yield from _listed([("filterBy", ",".join([*within, condition]))], deleted)
    named = [item for item in items if isinstance(item.get("name"), str) and fits(item["name"])]
    # One of ours that cannot be read is no absence: it would lead to a second one.
    return [Workload.from_wire(item) for item in named]


def list_workloads(
    params: Sequence[tuple[str, str]], *, deleted: bool = False
) -> Flow[list[Workload]]:
    """
    List workloads, all pages, oldest first; an item that cannot be read is left out, not fatal.
    """
    return list(_readable((yield from _listed(params, deleted))))


def _listed(params: Sequence[tuple[str, str]], deleted: bool) -> Flow[list[Mapping[str, Any]]]:
    query = [*params, ("sortBy", "createdAt"), ("sortOrder", "asc")]
    items = yield from read_all(
        _WORKLOADS, "workloads", [*query, *([("deleted", "true")] if deleted else [])]
    )
    return (
        [{**item, "deletedAt": item.get("deletedAt") or "listed"} for item in items]
        if deleted
        else items
    )


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


def history(workload_id: str) -> Flow[tuple[Moment, ...]]:
    """
    Return the phases that the server recorded, oldest first; empty where it keeps no history or shows us none.

    :raises Unreachable: if there may be one that cannot be read now.
    """
    try:
        records = yield from read_all(_path(workload_id, "history"), "records", [])
    except Unauthorized:
        raise
    except Refused:
        return ()
    except Unreadable as error:
        if (
            error.status != 404
        ):  # a server without this call may answer like any web server without a page
            raise
        return ()
    return merge(_moments(records))


def _moments(records: Sequence[Mapping[str, Any]]) -> Iterator[Moment]:
    for record in records:
        spec, meta = record.get("spec"), record.get("meta")
        update = spec.get("phaseUpdate") if isinstance(spec, Mapping) else None
        at = epoch(meta.get("creationTimestamp")) if isinstance(meta, Mapping) else None
        if isinstance(update, Mapping) and isinstance(update.get("phase"), str) and at is not None:
            yield Moment(
                at,
                printable(update["phase"], PHASE_LIMIT),
                cut(str(update.get("phaseMessage") or "")),
            )


def standing_pods(workload_id: str) -> Flow[int]:
    """Count the pods that have not ended, also those of a workload that the server has deleted already."""
    listed = yield from read_all(
        f"{_WORKLOADS}/pods", "pods", [("filterBy", f"workloadId=={workload_id}")]
    )
    return sum(str(pod.get("k8sPhase") or "").lower() not in _ENDED_PODS for pod in listed)


def pods(workload_id: str) -> Flow[list[Mapping[str, Any]]]:
    """Return the workload's present pods (node, phase, containers) in the server's words, which nobody has cleaned."""
    return (yield from read_all(_path(workload_id, "pods"), "pods", []))


def reader_for(start: Workload) -> WorkloadReader:
    """Return the three looks at ``start`` that a wait needs."""

    def find_deleted(workload_id: str) -> Flow[Workload | None]:
        project = Project(start.project_id, "", start.cluster_id)
        listed = yield from find(project, start.name, exact=True, deleted=True)
        return next((w for w in listed if w.id == workload_id), None)

    return WorkloadReader(read=get, history=history, find_deleted=find_deleted)


def finder(wanted: Workload) -> Callable[[], Flow[Workload | None]]:
    """Return a look for the newest workload named as ``wanted`` in its project."""

    def find_newest() -> Flow[Workload | None]:
        listed = yield from find(
            Project(wanted.project_id, "", wanted.cluster_id), wanted.name, exact=True
        )
        return listed[-1] if listed else None

    return find_newest


def resolve(project: Project, name_or_id: str) -> Flow[Workload]:
    """
    Find a workload of a project by name or id.

    :raises NotResolved: if there is none.
    """
    if _ID.fullmatch(name_or_id):
        try:
            return (yield from get(name_or_id))
        except NotFound:
            listed: list[Workload] = []
    else:
        refuse_commas("workload", name_or_id)
        listed = yield from find(project, name_or_id, exact=True)
    if not listed:
        raise NotResolved(
            f"workload {name_or_id!r}: project {project.name!r} has none of this name or id"
        )
    return listed[-1]
