"""
The limits of a project: policy, quota, GPUs in use, GPUs free. Each a flow that only reads.

Endpoints as in the vendor's API description 2.24 (runapy 1.224): ``/api/v2/policy/…``,
``/api/v1/org-unit/projects``, ``/api/v1/nodes/telemetry``. Which version first had them is not
known; a server without one refuses the call (404).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow_runai.backends.paging import read_all
from airflow_runai.backends.replies import accept
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.project import Project
from airflow_runai.core.quota import ProjectLimits, Quota
from airflow_runai.errors import Unreadable

_MAX_GPUS = 1e9


def effective_policy(project: Project, kind: str) -> Flow[Mapping[str, Any]]:
    """
    Read the policy that holds in a project: its own, united with those above it.

    :param kind: ``trainings`` or ``distributed``.
    :return: with ``rules`` and ``defaults``; empty if there is no policy.
    """
    params = [("scope", "project"), ("projectId", project.id)]
    body = _object((yield from _get(f"/api/v2/policy/{kind}", params)))
    return _object(body.get("effective") or body.get("policy"))


def project_record(project: Project) -> Flow[Mapping[str, Any]]:
    """Read a project as the server describes it: quota, rules that end trainings."""
    return _object((yield from _get(f"/api/v1/org-unit/projects/{quote(project.id, safe='')}", [])))


def project_limits(project: Project) -> Flow[ProjectLimits]:
    """Read what bounds the trainings of a project."""
    record = yield from project_record(project)
    rules = _object(record.get("effective")).get("schedulingRules")
    limits = None
    if isinstance(rules, Mapping):
        # A limit of 0, or none, ends nothing.
        limits = {key: rules[key] for key in rules if key.startswith("training") and rules[key]}
    return ProjectLimits(Quota.from_wire(record), limits)


class NoFigure(Unreadable):
    """The server answers, but does not tell this number."""


def gpus_held(allocated: object) -> float:
    """Return the GPUs in ``allocatedResources`` of a workload."""
    return _number(_object(allocated).get("gpu"))


def gpus_in_use(project: Project) -> Flow[float]:
    """Add up the GPUs that a project's workloads hold now."""
    items = yield from read_all(
        "/api/v1/workloads", "workloads", [("filterBy", f"projectId=={project.id}")]
    )
    return sum(gpus_held(item.get("allocatedResources")) for item in items)


def gpus_of_nodes(cluster_id: str, metric: str, node_pool: str | None = None) -> Flow[float]:
    """
    Count the GPUs of a cluster's nodes.

    :param metric: ``FREE_GPUS``, ``TOTAL_GPUS`` or another of the API's words.
    :param node_pool: count only these nodes.
    :raises NoFigure: if the answer holds no number.
    """
    params = [("telemetryType", metric), ("clusterId", cluster_id)]
    params += [("nodepoolName", node_pool)] if node_pool else []
    body = _object((yield from _get("/api/v1/nodes/telemetry", params)))
    listed = body.get("values")
    values = [_object(entry) for entry in listed] if isinstance(listed, list) else []
    if not any(values):
        raise NoFigure(f"GET /api/v1/nodes/telemetry: no value for {metric}")
    return sum(_number(entry.get("value")) for entry in values)


def _get(path: str, params: list[tuple[str, str]]) -> Flow[Any]:
    request = Request("GET", path, params)
    return accept(request, (yield request))


def _object(body: Any) -> Mapping[str, Any]:
    return body if isinstance(body, Mapping) else {}


def _number(value: Any) -> float:
    """Read a number of GPUs, also from a text; 0 for anything else."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return number if 0 <= number < _MAX_GPUS else 0.0
