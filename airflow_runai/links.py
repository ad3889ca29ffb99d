"""The button on a task instance that opens its workload's page in Run:ai."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperatorLink

from airflow_runai.core.workload import Workload
from airflow_runai.deployment import configuration

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context
    from airflow.sdk.types import TaskInstanceKey

log = logging.getLogger(__name__)

#: XCom under which an operator leaves ``id, name, project, url`` of its workload.
WORKLOAD_KEY = "runai_workload"
#: XCom that holds the workload's timeline, during the wait and after it.
TIMELINE_KEY = "runai_timeline"


class RunaiWorkloadLink(BaseOperatorLink):
    """Opens the workload in Run:ai; there from the moment of submission, also while the task is deferred."""

    name = "Run:ai workload"

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the address, or an empty text before the submission."""
        # Imported here: provider discovery loads this module, and must stay cheap.
        from airflow.sdk.execution_time.xcom import XCom

        known: Any = XCom.get_value(ti_key=ti_key, key=WORKLOAD_KEY)
        return str(known.get("url", "")) if isinstance(known, dict) else ""


def push_workload_xcom(context: Context, url: str, workload: Workload, project: str) -> None:
    """Leave in XCom which workload the task is about; the link and the tab read it, also while it is deferred."""
    page = workload_page(url, workload, project)
    known = {"id": workload.id, "name": workload.name, "project": project, "url": page}
    try:
        context["ti"].xcom_push(key=WORKLOAD_KEY, value=known)
    except Exception as error:
        # The workload exists already: it must not be lost for a button.
        log.warning("the workload %s cannot be shown in Airflow (%s)", workload.name, error)


def workload_page(url: str, workload: Workload, project: str) -> str:
    """Return the address of a workload's page, made from ``[runai] workload_url``."""
    pattern = configuration.option("workload_url")
    try:
        return pattern.format(
            url=url.rstrip("/"), name=workload.name, id=workload.id, project=project
        )
    except (LookupError, ValueError, AttributeError) as error:
        # The workload exists already: a slip in the configuration must not cost its task.
        log.warning(
            "[runai] workload_url: %r (%r); allowed: {url}, {name}, {id}, {project}", pattern, error
        )
        return url
