"""The button on a task instance that opens its workload in Run:ai, and the XCom behind it."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_runai.core.texts import cut
from airflow_runai.core.workload import Workload
from airflow_runai.deployment import configuration
from airflow_runai.hooks.choice import AnySettings

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

log = logging.getLogger(__name__)

#: XCom under which an operator leaves ``id, name, project, url, gpus`` of its workload, and what
#: else is needed to find it (:data:`_ADDRESS`).
WORKLOAD_KEY = "runai_workload"
#: XCom that holds the workload's timeline, during the wait and after it.
TIMELINE_KEY = "runai_timeline"
_ADDRESS = ("id", "name", "project_id", "cluster_id", "kind")


class RunaiWorkloadLink(BaseOperatorLink):
    """Opens the workload in Run:ai, from its submission on, even while the task is deferred."""

    name = "Run:ai workload"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address; an empty text before the submission, or without XComs."""
        # Imported here: provider discovery loads this module, and must stay cheap.
        from airflow.sdk.execution_time.xcom import XCom

        workload: Any = XCom.get_value(ti_key=ti_key, key=WORKLOAD_KEY)
        return str(workload.get("url", "")) if isinstance(workload, dict) else ""


def push_xcom(context: Context, key: str, value: dict[str, Any]) -> None:
    """Push an XCom of the task, unless it was made with ``do_xcom_push=False``."""
    if getattr(context["task"], "do_xcom_push", True):
        context["ti"].xcom_push(key=key, value=value)


def push_timeline(context: Context, news: Mapping[str, Any]) -> None:
    """Push what the tab shows of the task's workload; never raises, for it is shown only."""
    try:
        push_xcom(context, TIMELINE_KEY, dict(news))
    except Exception as error:
        log.warning("the tab cannot be shown the news of the workload (%s)", cut(str(error)))


def push_workload_xcom(
    context: Context,
    settings: AnySettings,
    workload: Workload,
    project: str,
    gpus: float | None = None,
) -> None:
    """
    Push the XCom that names the task's workload; link and tab read it, even while deferred.

    :param gpus: asked for, all pods together; ``None`` if that is not known.
    """
    page = workload_page(settings, workload, project)
    address = {name: getattr(workload, name) for name in _ADDRESS}
    shown = {"project": project, "url": page, "gpus": gpus}
    try:
        push_xcom(context, WORKLOAD_KEY, {**address, **shown})
    except Exception as error:
        # The workload exists already, and must not be lost for a button.
        log.warning("the workload %s cannot be shown in Airflow (%s)", workload.name, error)


def workload_in(pushed: Mapping[str, Any]) -> Workload:
    """Return what :func:`push_workload_xcom` says of a workload; older versions said less."""
    address: dict[str, Any] = {name: str(pushed.get(name) or "") for name in _ADDRESS}
    return Workload(phase="", **address)


def pull_workload_xcom(context: Context) -> dict[str, Any]:
    """Return what :func:`push_workload_xcom` has pushed; empty if that cannot be found."""
    ti = context["ti"]
    found = ti.xcom_pull(task_ids=ti.task_id, key=WORKLOAD_KEY, map_indexes=ti.map_index)
    return found if isinstance(found, dict) else {}


def workload_page(settings: AnySettings, workload: Workload, project: str) -> str:
    """Return the address of a workload's page; empty if it has none."""
    url, pattern = settings.url.rstrip("/"), settings.page_url
    place = "page_url of the connection"
    if pattern is None:
        pattern, place = configuration.option("workload_url"), "[runai] workload_url"
    try:
        return pattern.format(
            url=url,
            name=workload.name,
            id=workload.id,
            project=project,
            namespace=workload.project_id,
        )
    except (LookupError, ValueError, AttributeError) as error:
        # The workload exists already, and must not be lost for a slip in the configuration.
        allowed = "{url}, {name}, {id}, {project}, {namespace}"
        log.warning("%s: %r (%r); allowed: %s", place, pattern, error, allowed)
        return url
