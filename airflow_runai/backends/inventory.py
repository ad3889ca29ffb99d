"""
The workloads of one Airflow: all that carry its proof, in every project that it may see.

The proof is the hash in the name, made of the Airflow's name and of what the workload's variables
say of its task. Where a server's lists leave variables out, each workload with a name of our form
is read by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.backends import control_plane, organization
from airflow_runai.backends.paging import read_all
from airflow_runai.core.flow import Flow
from airflow_runai.core.marks import Mark
from airflow_runai.core.origin import origin, variables_of
from airflow_runai.core.orphans import Owned
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Refused, Unreadable

Item = Mapping[str, Any]

_UNFINISHED = ("phase!=Completed", "phase!=Failed")


def inventory(
    instance: str,
    project: str | None = None,
    cluster: str | None = None,
    *,
    digest: str = "",
    ended: bool = False,
) -> Flow[list[Owned]]:
    """
    List what one Airflow made, oldest first.

    :param instance: name of the Airflow.
    :param project: name of the only project to look into.
    :param digest: of the only task instance to look for.
    :param ended: list those that have ended, or were deleted, too.
    :raises Unreachable: at once; callers look again soon.
    """
    within = [] if ended else [*_UNFINISHED]
    if project is not None:
        resolved = yield from organization.find_project(project, cluster)
        within.append(f"projectId=={resolved.id}")
    if digest:
        within.append(f"name=@-{digest}-g")
    items = yield from _listed(within, deleted=False)
    if ended:
        items += yield from _listed(within, deleted=True)
    workloads: list[Owned] = []
    for item in items:
        if owned := (yield from _owned(item, instance)):
            workloads.append(owned)
    return workloads


def _listed(within: list[str], *, deleted: bool) -> Flow[list[Item]]:
    params = [("sortBy", "createdAt"), ("sortOrder", "asc")]
    if deleted:
        params.append(("deleted", "true"))
    if within:
        params.append(("filterBy", ",".join(within)))
    return (yield from read_all("/api/v1/workloads", "workloads", params))


def _owned(item: Item, instance: str) -> Flow[Owned | None]:
    try:
        workload = Workload.from_wire(item)
    except Unreadable:
        return None
    if origin(item, instance) is None:
        return None
    if variables_of(item) is None:
        item = {**item, "environmentVariables": (yield from _variables(workload))}
    found, variables = origin(item, instance), variables_of(item)
    if found is None:
        return None
    mark = Mark.from_environment(variables) if variables else None
    return Owned(workload, found, mark, cut(str(item.get("projectName") or workload.project_id)))


def _variables(workload: Workload) -> Flow[Any]:
    try:
        spec = yield from control_plane.get_spec(workload)
    except (Refused, Unreadable):
        return None  # its owner stays unknown: it is shown, and never ended
    return spec.get("environmentVariables")
