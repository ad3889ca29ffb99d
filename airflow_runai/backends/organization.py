"""
Where workloads live: projects and clusters, found by name.

One that cannot be used, because its name or id does not print, is left out of a list, and refused
where it is asked for by name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

from airflow_runai.backends.paging import read_all, read_page
from airflow_runai.backends.replies import accept
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.project import Cluster, Project, refuse_commas
from airflow_runai.core.texts import cut, exact
from airflow_runai.errors import NotResolved, RunaiError, Unreadable

_PROJECTS = "/api/v1/org-unit/projects"
#: Names of projects in an error.
MAX_NAMES = 10


def find_project(name: str, cluster: str | None = None) -> Flow[Project]:
    """
    Resolve a project by name.

    :param cluster: name or id, needed where several clusters have a project of that name.
    :raises NotResolved: for 0 or more than 1 hits; the message names them.
    """
    refuse_commas("project", name)
    hits = yield from read_all(_PROJECTS, "projects", [("filterBy", f"name=={name}")])
    # Servers may compare without case or by prefix: names are compared again here.
    matches = [p for p in hits if p.get("name") == name]
    if cluster is not None:
        cluster_id = yield from find_cluster(cluster)
        matches = [p for p in matches if p.get("clusterId") == cluster_id]
    if not matches:
        where = f" on cluster {cluster!r}" if cluster else ""
        seen = yield from _projects_like(name)
        raise NotResolved(
            f"project {name!r}: no such project{where}, or this identity may not see it"
            f"{seen}; check the spelling (case matters) and the scope of the access rule"
        )
    if len(matches) > 1:
        clusters = cut(", ".join(sorted(str(p.get("clusterId")) for p in matches)))
        raise NotResolved(
            f"project {name!r}: {len(matches)} projects have this name, "
            f"on the clusters {clusters}; name the cluster in the connection or in the operator"
        )
    return _project(matches[0])


def _projects_like(name: str) -> Flow[str]:
    """Say which projects this identity sees, the most similar names first; nothing if unknown."""
    try:
        rows = yield from read_page(_PROJECTS, "projects")
    except RunaiError:  # it is only a hint
        return ""
    names = {str(row.get("name")) for row in rows if row.get("name")}
    if not names:
        return "; it sees no project at all"
    near = get_close_matches(name, sorted(names), MAX_NAMES, cutoff=0.0)
    more = f" and {len(names) - len(near)} more" if len(names) > len(near) else ""
    return f"; it sees {', '.join(cut(each, 64) for each in near)}{more}"


def _project(item: Mapping[str, Any]) -> Project:
    status = item.get("status")
    namespace = status.get("namespace") if isinstance(status, Mapping) else None
    if not item.get("id"):
        raise Unreadable(f"project {cut(str(item.get('name')))!r}: listed without an id")
    return Project(
        id=exact(item["id"], "project's id"),
        name=exact(item.get("name"), "project's name"),
        cluster_id=exact(item.get("clusterId"), "project's cluster id"),
        namespace=exact(namespace, "project's namespace"),
    )


def project_of(project_id: str) -> Flow[Project]:
    """Return the project with this id."""
    request = Request("GET", f"/api/v1/org-unit/projects/{quote(project_id, safe='')}")
    body = accept(request, (yield request))
    return _project(body if isinstance(body, Mapping) else {})


def find_cluster(name_or_id: str) -> Flow[str]:
    """
    Resolve a cluster to its id.

    :raises NotResolved: for 0 or more than 1 hits, naming the clusters there are.
    """
    clusters = yield from list_clusters()
    matches = [c for c in clusters if name_or_id in (c.name, c.id)]
    if len(matches) != 1:
        names = cut(", ".join(sorted(c.name for c in clusters))) or "none"
        raise NotResolved(
            f"cluster {name_or_id!r}: {len(matches)} hits; the control plane has: {names}"
        )
    return matches[0].id


def list_clusters() -> Flow[list[Cluster]]:
    """Return the clusters whose name and id can be read (a bare array: no filter, no paging)."""
    request = Request("GET", "/api/v1/clusters", [("verbosity", "metadata")])
    body = accept(request, (yield request))
    return list(_clusters(body)) if isinstance(body, list) else []


def _clusters(items: Sequence[Any]) -> Iterator[Cluster]:
    for item in items:
        try:
            yield _cluster(item)
        except Unreadable:
            continue


def _cluster(item: object) -> Cluster:
    fields = item if isinstance(item, Mapping) else {}
    identity, status = exact(fields.get("uuid"), "cluster's id"), fields.get("status")
    if not identity:
        raise Unreadable("cluster: listed without an id")
    state = status.get("state") if isinstance(status, Mapping) else None
    return Cluster(
        id=identity,
        name=exact(fields.get("name"), "cluster's name"),
        version=cut(str(fields.get("version") or "")),
        state=cut(str(state or "")),
        domain=exact(fields.get("domain"), "cluster's domain"),
    )
