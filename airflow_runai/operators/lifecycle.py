"""Suspend, resume or delete a workload, whoever submitted it; each may be repeated."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseOperator

from airflow_runai.backends import suspension
from airflow_runai.backends.patience import retry_while_unreachable
from airflow_runai.core.backend import Workloads
from airflow_runai.core.flow import Flow
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.phases import OVER, Meaning
from airflow_runai.core.workload import Workload
from airflow_runai.errors import InvalidArgument, NotResolved
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import RunaiWorkloadLink, push_workload_xcom
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from airflow.sdk import Context


class _RunaiLifecycleOperator(BaseOperator, ReadableTask):
    """Base of the three: finds a workload by name or id and makes one call."""

    template_fields: Sequence[str] = ("workload", "runai_conn_id", "project", "cluster")
    operator_extra_links = (RunaiWorkloadLink(),)
    ui_color = "#d8ecb8"
    #: Phases' meanings in which the workload is as wanted already.
    nothing_to_do: ClassVar[tuple[Meaning, ...]] = ()
    #: Whether a workload that does not exist is as wanted.
    absence_is_done: ClassVar[bool] = False

    def __init__(
        self,
        *,
        workload: str,
        runai_conn_id: str = RunaiHook.default_conn_name,
        project: str | None = None,
        cluster: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.workload = workload
        self.runai_conn_id = runai_conn_id
        self.project = project
        self.cluster = cluster

    def execute(self, context: Context) -> JsonObject:
        """Make the call; return ``workload_id, name`` and the ``phase`` before it."""
        with fail_without_retry():
            hook = RunaiHook(self.runai_conn_id)
            project = hook.project(self.project, self.cluster)
            resolve = partial(hook.backend.resolve, project, self.workload)
            try:
                workload = hook.run(retry_while_unreachable(resolve))
            except NotResolved:
                if not self.absence_is_done:
                    raise
                self.log.info("%s does not exist: nothing to do", self.workload)
                return {"workload_id": None, "name": self.workload, "phase": None}
            # The link on the task's page reads it.
            push_workload_xcom(context, hook.settings, workload, project.name)
            self._change(hook, workload)
        return {"workload_id": workload.id, "name": workload.name, "phase": workload.phase}

    def _change(self, hook: RunaiHook, workload: Workload) -> None:
        # The API declares no error for a call in the wrong state, so the state decides here.
        if workload.meaning in self.nothing_to_do:
            self.log.info("%s is %s: nothing to do", workload.name, workload.phase)
            return
        self._refuse_if_ended(workload)
        hook.run(retry_while_unreachable(partial(self._call, hook.backend, workload)))
        self.log.info("%s was %s: done", workload.name, workload.phase)

    def _call(self, backend: Workloads, workload: Workload) -> Flow[None]:
        raise NotImplementedError

    def _refuse_if_ended(self, workload: Workload) -> None:
        if workload.meaning in OVER:
            raise InvalidArgument(
                [f"workload {workload.name!r} is {workload.phase}; allowed: one that has not ended"]
            )


class RunaiSuspendWorkloadOperator(_RunaiLifecycleOperator):
    """
    Suspend a workload: its pods stop, its GPUs are freed, and it can be resumed.

    Fails if the workload does not react within a minute.

    :param workload: name or id; templated.
    :param runai_conn_id: connection of type ``runai`` or ``kubernetes``; templated.
    :param project: project, on Kubernetes a queue; default: the connection's; templated.
    :param cluster: needed only if several clusters have a project of that name; templated.
    """

    nothing_to_do = (Meaning.SUSPENDED,)

    def _call(self, backend: Workloads, workload: Workload) -> Flow[None]:
        return suspension.suspend(backend, workload)


class RunaiResumeWorkloadOperator(_RunaiLifecycleOperator):
    """
    Let a suspended workload queue again.

    Fails if the workload does not react within a minute.

    :param workload: name or id; templated.
    :param runai_conn_id: connection of type ``runai`` or ``kubernetes``; templated.
    :param project: project, on Kubernetes a queue; default: the connection's; templated.
    :param cluster: needed only if several clusters have a project of that name; templated.
    """

    nothing_to_do = (Meaning.WAITING, Meaning.STARTING, Meaning.RUNNING)

    def _call(self, backend: Workloads, workload: Workload) -> Flow[None]:
        return suspension.resume(backend, workload)


class RunaiDeleteWorkloadOperator(_RunaiLifecycleOperator):
    """
    Delete a workload, finished or not; one that does not exist counts as deleted.

    :param workload: name or id; templated.
    :param runai_conn_id: connection of type ``runai`` or ``kubernetes``; templated.
    :param project: project, on Kubernetes a queue; default: the connection's; templated.
    :param cluster: needed only if several clusters have a project of that name; templated.
    """

    nothing_to_do = (Meaning.DELETING,)
    absence_is_done = True

    def _call(self, backend: Workloads, workload: Workload) -> Flow[None]:
        return backend.delete(workload)

    def _refuse_if_ended(self, workload: Workload) -> None:
        """Accept finished workloads: they can be deleted too."""
