"""
The control plane's REST API, each call as a flow.

Endpoints and shapes are those of versions 2.18 to 3.0. Nothing here knows Airflow, sends, or sleeps. Replies are read
leniently: an unknown field is ignored, an unknown phase is kept as it is, a missing list counts as empty.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from airflow_runai.backends.paging import read_all
from airflow_runai.backends.replies import accept
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.timeline import Moment, merge
from airflow_runai.core.waiting import Eyes
from airflow_runai.core.workload import Workload, epoch
from airflow_runai.errors import NotFound, NotResolved, Refused, SpecError, Unauthorized, Unreadable

_WORKLOADS = "/api/v1/workloads"
_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True)
class Project:
    """
    A project and the cluster it lives on.

    :param namespace: its Kubernetes namespace, empty if the server does not say.
    """

    id: str
    name: str
    cluster_id: str
    namespace: str = ""


def find_project(name: str, cluster: str | None = None) -> Flow[Project]:
    """
    Resolve a project by name; ``cluster`` (name or id) decides where several clusters have one of that name.

    :raises NotResolved: for 0 or more than 1 hits; the message says what there is.
    """
    refuse_commas("project", name)
    hits = yield from read_all("/api/v1/org-unit/projects", "projects", [("filterBy", f"name=={name}")])
    # Servers may compare without case or by prefix: names are compared again here.
    found = [p for p in hits if p.get("name") == name]
    if cluster is not None:
        cluster_id = yield from find_cluster(cluster)
        found = [p for p in found if p.get("clusterId") == cluster_id]
    if not found:
        where = f" on cluster {cluster!r}" if cluster else ""
        raise NotResolved(
            f"project {name!r}: no such project{where}, or this identity may not see it; "
            "check the spelling (case matters) and the scope of the access rule"
        )
    if len(found) > 1:
        clusters = ", ".join(sorted(str(p.get("clusterId")) for p in found))
        raise NotResolved(
            f"project {name!r}: {len(found)} projects have this name, on the clusters {clusters}; "
            "name the cluster in the connection or in the operator"
        )
    return _project(found[0])


def _project(item: Mapping[str, Any]) -> Project:
    status = item.get("status")
    namespace = status.get("namespace") if isinstance(status, Mapping) else None
    if not item.get("id"):
        raise Unreadable(f"project {item.get('name')!r}: listed without an id")
    return Project(str(item["id"]), str(item.get("name")), str(item.get("clusterId") or ""), str(namespace or ""))


def find_cluster(name_or_id: str) -> Flow[str]:
    """
    Resolve a cluster to its id.

    :raises NotResolved: for 0 or more than 1 hits, naming the clusters there are.
    """
    clusters = yield from list_clusters()
    found = [c for c in clusters if name_or_id in (c.get("name"), c.get("uuid"))]
    if len(found) != 1:
        names = ", ".join(sorted(str(c.get("name")) for c in clusters)) or "none"
        raise NotResolved(f"cluster {name_or_id!r}: {len(found)} hits; the control plane has: {names}")
    return str(found[0].get("uuid"))


def list_clusters() -> Flow[list[Mapping[str, Any]]]:
    """Return the clusters as the server describes them (a bare array: no filter, no paging)."""
    request = Request("GET", "/api/v1/clusters", [("verbosity", "metadata")])
    body = accept(request, (yield request))
    return [c for c in body if isinstance(c, Mapping)] if isinstance(body, list) else []


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
    """Read the specification that the workload was made from; empty where the server does not tell."""
    request = Request("GET", _path(workload.path, workload.id))
    body = accept(request, (yield request))
    spec = body.get("spec") if isinstance(body, Mapping) else None
    return spec if isinstance(spec, Mapping) else {}


def find(project: Project, prefix: str, *, exact: bool = False, deleted: bool = False) -> Flow[list[Workload]]:
    """
    List the workloads of a project whose name is, or begins with, ``prefix``.

    :param deleted: list the deleted ones instead of the present ones.
    """
    operator = "==" if exact else "=^"
    within = [f"projectId=={project.id}"] if project.id else []
    params = [("filterBy", ",".join([*within, f"name{operator}{prefix}"]))]
    found = yield from list_workloads(params, deleted=deleted)
    return [w for w in found if (w.name == prefix if exact else w.name.startswith(prefix))]


def list_workloads(params: Sequence[tuple[str, str]], *, deleted: bool = False) -> Flow[list[Workload]]:
    """List workloads, all pages, oldest first; an item that cannot be read is left out, not fatal."""
    query = [*params, ("sortBy", "createdAt"), ("sortOrder", "asc")]
    items = yield from read_all(_WORKLOADS, "workloads", [*query, *([("deleted", "true")] if deleted else [])])
    return list(_readable(items, deleted))


def _readable(items: Sequence[Mapping[str, Any]], deleted: bool) -> Iterator[Workload]:
    for item in items:
        try:
            yield Workload.from_wire({**item, "deletedAt": item.get("deletedAt") or "listed"} if deleted else item)
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
        if error.status != 404:  # a server without this call may answer like any web server without a page
            raise
        return ()
    return merge(_moments(records))


def _moments(records: Sequence[Mapping[str, Any]]) -> Iterator[Moment]:
    for record in records:
        spec, meta = record.get("spec"), record.get("meta")
        update = spec.get("phaseUpdate") if isinstance(spec, Mapping) else None
        at = epoch(meta.get("creationTimestamp")) if isinstance(meta, Mapping) else None
        if isinstance(update, Mapping) and isinstance(update.get("phase"), str) and at is not None:
            yield Moment(at, update["phase"], str(update.get("phaseMessage") or ""))


def events(workload_id: str) -> Flow[list[Mapping[str, Any]]]:
    """Return the workload's events as the server words them."""
    return (yield from read_all(_path(workload_id, "events"), "events", []))


def pods(workload_id: str) -> Flow[list[Mapping[str, Any]]]:
    """Return the workload's present pods (node, phase, containers)."""
    return (yield from read_all(_path(workload_id, "pods"), "pods", []))


def eyes(start: Workload) -> Eyes:
    """Return the three looks at ``start`` that a wait needs."""

    def find_deleted(workload_id: str) -> Flow[Workload | None]:
        project = Project(start.project_id, "", start.cluster_id)
        listed = yield from find(project, start.name, exact=True, deleted=True)
        return next((w for w in listed if w.id == workload_id), None)

    return Eyes(read=get, history=history, find_deleted=find_deleted)


def finder(wanted: Workload) -> Callable[[], Flow[Workload | None]]:
    """Return a look for the newest workload named as ``wanted`` in its project."""

    def find_newest() -> Flow[Workload | None]:
        listed = yield from find(Project(wanted.project_id, "", wanted.cluster_id), wanted.name, exact=True)
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
        raise NotResolved(f"workload {name_or_id!r}: project {project.name!r} has none of this name or id")
    return listed[-1]


def refuse_commas(what: str, name: object) -> None:
    """
    Refuse a name that cannot be looked up: in a filter, a comma begins the next condition.

    :raises SpecError: also for an empty name.
    """
    if not isinstance(name, str) or "," in name or not name.strip():
        raise SpecError([f"{what}: {name!r} cannot be looked up; allowed: a name without commas that is not empty"])
