"""Wait for a workload that someone else submitted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airflow_runai.core.backend import newest_named
from airflow_runai.core.decision import KeepWaiting, WaitPolicy, decide
from airflow_runai.core.flow import now
from airflow_runai.core.outcome import SUCCEEDED, TIMED_OUT, Outcome
from airflow_runai.core.project import refuse_commas
from airflow_runai.core.waiting import take_snapshot
from airflow_runai.deployment import configuration
from airflow_runai.errors import InvalidArgument, Refused, Unreachable, WorkloadEnded
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import push_timeline
from airflow_runai.tasks.completion import warn_if_doubtful
from airflow_runai.tasks.end_reasons import explained
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.retries import NON_RETRYABLE, fail_without_retry
from airflow_runai.tasks.whereabouts import failure_words
from airflow_runai.triggers.workload import RunaiWorkloadTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Airflow's default for sensors is seven days; trainings may be queued and preempted for longer.
DEFAULT_TIMEOUT = timedelta(days=90)


class RunaiWorkloadSensor(BaseSensorOperator, ReadableTask):
    """
    Wait until a workload of this name has completed; fail if it ends in any other way.

    The workload need not exist yet. The sensor never changes it.

    :param workload: name of the workload; templated.
    :param runai_conn_id: connection of type ``runai`` or ``kubernetes``; templated.
    :param project: project, on Kubernetes a queue; default: the connection's; templated.
    :param cluster: needed only if several clusters have a project of that name; templated.
    :param deferrable: wait on the triggerer; ``False`` pokes. Default: ``[operators]
        default_deferrable`` where the site has set it, else ``True``.
    :param when_suspended: ``wait`` until it is resumed, or ``end`` with a failure.
    :param allow_exit_on_preemption: believe exit code 0 also after a preemption had begun.
    """

    template_fields: Sequence[str] = ("workload", "runai_conn_id", "project", "cluster")
    ui_color = "#d8ecb8"

    def __init__(
        self,
        *,
        workload: str,
        runai_conn_id: str = RunaiHook.default_conn_name,
        project: str | None = None,
        cluster: str | None = None,
        deferrable: bool | None = None,
        when_suspended: str = "wait",
        allow_exit_on_preemption: bool = False,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("timeout", DEFAULT_TIMEOUT)
        super().__init__(**kwargs)
        if when_suspended not in ("wait", "end"):
            raise InvalidArgument([f"when_suspended: {when_suspended!r}; allowed: 'wait' or 'end'"])
        self.workload = workload
        self.runai_conn_id = runai_conn_id
        self.project = project
        self.cluster = cluster
        self.deferrable = deferrable
        self.when_suspended = when_suspended
        self.allow_exit_on_preemption = allow_exit_on_preemption

    def execute(self, context: Context) -> Any:
        """Wait, deferred or by poking."""
        with fail_without_retry():
            # The server refuses such a filter each time, and a wait survives refusals.
            refuse_commas("workload", self.workload)
            if not configuration.deferrable(self.deferrable):
                return super().execute(context)
            project = self._hook.project(self.project, self.cluster)
        policy = replace(self._policy(), deadline=self._deadline())
        self.defer(
            trigger=RunaiWorkloadTrigger(
                runai_conn_id=self.runai_conn_id,
                workload=project.workload_named(self.workload).to_json(),
                policy=policy.to_json(),
                on_kill="keep",
                min_defer_seconds=configuration.seconds("min_defer_seconds"),
            ),
            method_name="execute_complete",
            timeout=None,
        )

    @cached_property
    def _hook(self) -> RunaiHook:
        """One client and one token for all pokes of a process."""
        return RunaiHook(self.runai_conn_id)

    def _policy(self) -> WaitPolicy:
        return WaitPolicy(
            self.poke_interval,
            when_suspended=self.when_suspended,
            allow_exit_on_preemption=self.allow_exit_on_preemption,
        )

    def _deadline(self) -> float:
        """Return the end of the wait by the server's clock, which the trigger uses."""
        return self._hook.run(now()) + float(self.timeout)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Finish the task when the trigger has fired."""
        outcome = explained(self._hook, Outcome.from_event(event))
        push_timeline(context, outcome.to_news())
        return self._result(outcome)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once; done when it has completed."""
        with fail_without_retry():
            verdict = self._look()
            if isinstance(verdict, Outcome):
                result = self._result(explained(self._hook, verdict))
                return PokeReturnValue(is_done=True, xcom_value=result)
            return False

    def _look(self) -> KeepWaiting | Outcome | None:
        """Return what follows from one look; ``None`` if there is nothing to see."""
        hook = self._hook
        try:
            project = hook.project(self.project, self.cluster)
            workload = hook.run(newest_named(hook.backend, project.workload_named(self.workload)))
            if workload is None:
                return None
            reader = hook.backend.reader(workload)
            return decide(self._policy(), hook.run(take_snapshot(reader, workload)))
        except NON_RETRYABLE:
            raise
        except (Unreachable, Refused) as error:
            self.log.warning(
                "cannot read workload %s (%s); its state is unknown", self.workload, error
            )
            return None

    def _result(self, outcome: Outcome) -> dict[str, Any]:
        """Return the result, or raise; both ways of waiting end here."""
        if outcome.status == SUCCEEDED:
            if not self.allow_exit_on_preemption:
                warn_if_doubtful(outcome)
            return outcome.to_result(self.project or "")
        words = failure_words(outcome, self.runai_conn_id, self.project or "")
        if self.soft_fail:
            raise AirflowSkipException(words)
        if outcome.status == TIMED_OUT:
            raise AirflowSensorTimeout(words)
        raise WorkloadEnded(words, outcome.to_event())
