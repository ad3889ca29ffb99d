"""Wait for a checkpoint that verifies, while the training that writes it goes on."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airflow_runai.core.flow import drive
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.project import refuse_commas
from airflow_runai.deployment import configuration
from airflow_runai.deployment.task_states import task_state
from airflow_runai.errors import (
    CheckpointUnreadable,
    InvalidArgument,
    NoValidCheckpoint,
    Unreachable,
    Untrusted,
)
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import WORKLOAD_KEY
from airflow_runai.sensors.workload import DEFAULT_TIMEOUT
from airflow_runai.tasks.checkpoint_query import CheckpointQuery, progress_logger
from airflow_runai.tasks.checkpoint_result import announce
from airflow_runai.tasks.checkpoint_wait import (
    FOUND,
    CallApi,
    CheckpointWait,
    FetchTaskState,
    FetchXCom,
    ReadStorage,
    Step,
)
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.lineage import LineageSource
from airflow_runai.tasks.query_checks import (
    check_accept,
    check_level,
    check_on_invalid,
    check_training_task,
)
from airflow_runai.tasks.retries import fail_without_retry
from airflow_runai.tasks.whereabouts import end_words
from airflow_runai.triggers.checkpoint import TIMED_OUT, RunaiCheckpointTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Key in Airflow's task state store.
MEMORY_KEY = "runai_checkpoint_watch"
_ALLOWED_WORKLOADS = (
    "allowed: {'task_id': …}, with 'map_index' for a mapped task, or the name of a workload"
)


class RunaiCheckpointSensor(BaseSensorOperator, ReadableTask, LineageSource):
    """
    Wait until there is a valid checkpoint of some step or later; its training may go on meanwhile.

    The result is that of :class:`RunaiSelectCheckpointOperator`, and so is the event of assets in
    ``outlets``. An unchanged root is not read again. Give the workload, and the wait fails as soon
    as it has ended without such a checkpoint.

    :param root: directory with checkpoints, as the container calls it, or a URI; it need not exist
        yet; templated.
    :param min_step: the step to wait for; default: any valid checkpoint; templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param level: how deep to look: 0 listing, 1 structure, 2 every byte against its checksum, 3
        also the content (finite, steps agree).
    :param accept_unverifiable: take formats without checksums (plain safetensors without a
        manifest).
    :param strict: refuse pickles that name classes other than PyTorch's own.
    :param accept: codes of findings that only warn, such as ``step-disagrees``; see the checkpoints
        page.
    :param requirements: further requirements, as in :class:`RunaiSelectCheckpointOperator`;
        templated.
    :param report_path: JSON file for the full report and its ledger, as there; templated.
    :param workload: ``{"task_id": "train"}`` for the training of that task in the same run, which
        need not be submitted yet and ends with its last try (add ``"map_index"`` for a mapped
        task), or the name of a workload; templated.
    :param runai_conn_id: connection of type ``runai`` or ``kubernetes``, used only with
        ``workload``; templated.
    :param project: project, on Kubernetes a queue, of a workload given by name; default: the
        connection's; templated.
    :param on_invalid: ``keep`` leaves bad checkpoints where they are; ``quarantine`` moves those
        newer than a good one to ``ROOT/quarantine`` while the workload is interrupted (queued,
        preempted, suspended, between two tries), so that the resumed process starts from the good
        one.
    :param deferrable: wait on the triggerer; ``False`` pokes. Default: ``[operators]
        default_deferrable`` where the site has set it, else ``True``.
    """

    template_fields: Sequence[str] = (
        "root",
        "path_map",
        "storage_conn_id",
        "min_step",
        "requirements",
        "report_path",
        "workload",
        "runai_conn_id",
        "project",
    )
    template_fields_renderers = {"path_map": "json", "requirements": "json", "workload": "json"}
    ui_color = "#cde6f5"

    def __init__(
        self,
        *,
        root: str,
        min_step: int | str | None = None,
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        level: int = 3,
        accept_unverifiable: bool = False,
        strict: bool = False,
        accept: Sequence[str] = (),
        requirements: Mapping[str, Any] | str | None = None,
        report_path: str | None = None,
        workload: Mapping[str, Any] | str | None = None,
        runai_conn_id: str = RunaiHook.default_conn_name,
        project: str | None = None,
        on_invalid: str = "keep",
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("timeout", DEFAULT_TIMEOUT)
        super().__init__(**kwargs)
        self.root = root
        self.min_step = min_step
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id
        self.level = level
        self.accept_unverifiable = accept_unverifiable
        self.strict = strict
        self.accept = accept
        self.requirements = requirements
        self.report_path = report_path
        self.workload = workload
        self.runai_conn_id = runai_conn_id
        self.project = project
        self.on_invalid = on_invalid
        self.deferrable = deferrable
        self._check_arguments()

    def _check_arguments(self) -> None:
        check_level(self.level)
        check_on_invalid(self.on_invalid)
        if self.on_invalid == "quarantine" and self.workload is None:
            raise InvalidArgument(
                [
                    "on_invalid: 'quarantine' without a workload; name the workload whose "
                    "interruptions are meant"
                ]
            )

    def execute(self, context: Context) -> Any:
        """Wait, deferred or by poking."""
        with fail_without_retry():
            if configuration.deferrable(self.deferrable):
                self._defer(context)
        return super().execute(context)

    def _defer(self, context: Context) -> None:
        self.defer(
            trigger=RunaiCheckpointTrigger(
                search=self._query().to_json(),
                poll_interval=self.poke_interval,
                deadline=time.time() + float(self.timeout),
                workload=self._awaited_workload(context),
                runai_conn_id=self.runai_conn_id,
                quarantine_invalid=self.on_invalid == "quarantine",
                min_defer_seconds=configuration.seconds("min_defer_seconds"),
            ),
            method_name="execute_complete",
            timeout=None,
        )

    def _query(self) -> CheckpointQuery:
        """Return the query; refuse a wrong one before the first look."""
        query = CheckpointQuery.of(self)
        query.place()
        check_accept(query.accept)
        with suppress(CheckpointUnreadable):
            query.required()
        return query

    def _awaited_workload(self, context: Context) -> JsonObject | None:
        """Return the workload whose end ends the wait, as the trigger takes it."""
        if self.workload is None:
            return None
        if isinstance(self.workload, Mapping):
            return asdict(self._task(self.workload, context))
        if not isinstance(self.workload, str) or not self.workload:
            raise InvalidArgument([f"workload: {self.workload!r}; {_ALLOWED_WORKLOADS}"])
        # The server's filters have no way to escape a comma.
        refuse_commas("workload", self.workload)
        project = self._hook.project(self.project)
        # No id yet: the wait looks the name up, as a workload of that name may still be submitted.
        return project.workload_named(self.workload).to_json()

    def _task(self, workload: JsonMapping, context: Context) -> FetchXCom:
        """Return the training's task; one that does not exist would be waited for in vain."""
        task_id, map_index = str(workload.get("task_id")), str(workload.get("map_index", -1))
        if set(workload) - {"task_id", "map_index"} or not re.fullmatch(r"-1|\d+", map_index):
            raise InvalidArgument([f"workload: {dict(workload)!r}; {_ALLOWED_WORKLOADS}"])
        check_training_task(context["dag"], task_id)
        ti = context["ti"]
        return FetchXCom(ti.dag_id, ti.run_id, task_id, int(map_index))

    @cached_property
    def _hook(self) -> RunaiHook:
        """One client and one token for all pokes of a process."""
        return RunaiHook(self.runai_conn_id)

    def execute_complete(self, context: Context, event: JsonMapping) -> JsonObject:
        """Finish the task when the trigger has fired."""
        return self._finish(context, event)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """
        Look once.

        Each poke may run in another process, so its memory is in Airflow's state store.
        """
        with fail_without_retry():
            store = context.get("task_state_store")
            wait = self._wait(context, store)
            event = drive(wait.poll(), lambda step: self._perform(step, context))
            if event is not None:
                return PokeReturnValue(is_done=True, xcom_value=self._finish(context, event))
            if store is not None:
                store.set(MEMORY_KEY, {"change_token": wait.change_token, "handled": wait.handled})
            return False

    def _wait(self, context: Context, store: Any) -> CheckpointWait:
        """Return the wait as the last poke left it."""
        memory = store.get(MEMORY_KEY) if store is not None else None
        # Anyone who may write task states can have put something else there.
        remembered = memory if isinstance(memory, Mapping) else {}
        return CheckpointWait(
            self._query(),
            self._reachable_workload(context),
            quarantine_invalid=self.on_invalid == "quarantine",
            change_token=str(remembered.get("change_token") or ""),
            handled=str(remembered.get("handled") or ""),
        )

    def _reachable_workload(self, context: Context) -> JsonObject | None:
        try:
            return self._awaited_workload(context)
        except Untrusted:
            raise
        except Unreachable as error:
            self.log.warning(
                "cannot read the workload (%s); its state is unknown, still waiting", error
            )
            return None

    def _perform(self, step: Step, context: Context) -> Any:
        ti = context["ti"]
        match step:
            case ReadStorage():
                return step.call(progress_logger())
            case FetchXCom():
                return ti.xcom_pull(
                    task_ids=step.task_id, key=WORKLOAD_KEY, map_indexes=step.map_index
                )
            case FetchTaskState():
                return task_state(step.task, ti.get_task_states)
            case CallApi():
                return self._hook.run(step.flow(self._hook.backend))

    def _finish(self, context: Context, event: JsonMapping) -> JsonObject:
        """Return the result, or raise; both ways of waiting end here."""
        if event.get("status") == FOUND:
            return self._found(context, event)
        words = end_words(event, self.runai_conn_id, self.project or "")
        if self.soft_fail:
            raise AirflowSkipException(words)
        if event.get("status") == TIMED_OUT:
            raise AirflowSensorTimeout(words)
        with fail_without_retry():
            raise NoValidCheckpoint(words)

    def _found(self, context: Context, event: JsonMapping) -> JsonObject:
        result = dict(event["result"])
        announce(self, context, "found", result, event["refused"])
        return result
