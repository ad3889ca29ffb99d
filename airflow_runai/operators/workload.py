"""The part of an operator that makes its workload, or finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_runai.backends.patience import Patience
from airflow_runai.core.lineage import Lineage, read_by
from airflow_runai.core.log_lines import OFF
from airflow_runai.core.note import Note
from airflow_runai.core.quota import gpus_requested
from airflow_runai.core.room import NOW
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.task_purpose import TaskPurpose
from airflow_runai.core.workload import Workload
from airflow_runai.deployment import configuration
from airflow_runai.errors import RunaiError
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.operators.room import RoomOperator
from airflow_runai.tasks.argument_checks import check_durable, check_steps
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.completion import grace_of
from airflow_runai.tasks.instructions import show
from airflow_runai.tasks.lineage import LineageSource, located
from airflow_runai.tasks.submission import Submission
from airflow_runai.tasks.worker_stop import ending_the_try

if TYPE_CHECKING:
    from airflow.sdk import Context


class WorkloadOperator(RoomOperator, LineageSource):
    """
    Base of operators that submit; :class:`RunaiTrainingOperator` documents the parameters.

    :param durable: ``True``, as other providers call what is always so here: a retry goes on with
        the workload that the try before it has submitted.
    """

    template_fields: Sequence[str] = (
        *RoomOperator.template_fields,
        "checkpoint_root",
        "expected_steps",
        "path_map",
        "storage_conn_id",
    )
    template_fields_renderers = {**RoomOperator.template_fields_renderers, "path_map": "json"}

    project: str | None
    cluster: str | None
    wait_for_completion: bool
    deferrable: bool | None
    get_logs: str
    on_clear: str

    def __init__(
        self,
        *,
        checkpoint_root: str | None = None,
        expected_steps: int | str | None = None,
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        allow_exit_on_preemption: bool = False,
        durable: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_steps(expected_steps)
        check_durable(durable)
        self.durable = durable
        self.checkpoint_root = checkpoint_root
        self.expected_steps = expected_steps
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id
        self.allow_exit_on_preemption = allow_exit_on_preemption

    def _submit(
        self, context: Context, hook: RunaiHook, note: Note | None, submitted: bool
    ) -> tuple[str, Workload, float | None]:
        """Submit or adopt; return the name of the project, the workload and the GPUs asked for."""
        instructions = self._instructions(context)
        spec = WorkloadSpec.from_mapping(self._specification(instructions.spec))
        seconds, sleep = configuration.seconds("submission_patience"), self._stop_signal.sleep
        # Once submitted, the workload may be alive: then no refusal may cost it its task.
        search = Patience(seconds, refusals=submitted).retry
        show(spec)
        with ending_the_try("the next one goes on with the submission"):
            name = self.project or instructions.project
            project = hook.project(name, self.cluster, search, sleep)
            submission = Submission(
                hook,
                context,
                project,
                self._purpose(spec),
                note,
                slug=self.workload_name or instructions.slug,
                on_clear=self.on_clear,
                patience=Patience(seconds),
                sleep=sleep,
                has_waited=self._turn is not None,
            )
            ready = partial(self._make_ready, context, hook, project, spec, note)
            try:
                workload = submission.submit_or_adopt(before_create=ready)
            finally:
                self._settle_claim(hook)
        return project.name, workload, gpus_requested(spec)

    def _purpose(self, spec: WorkloadSpec) -> TaskPurpose:
        return TaskPurpose(
            spec,
            on_kill=self.kill_action,
            awaited=self.wait_for_completion,
            deferred=configuration.deferrable(self.deferrable),
            shows_log=self.get_logs != OFF,
            looks_for_room=self.submit_when != NOW,
        )

    def _make_ready(self, context: Context, *about: Any) -> None:
        self._prepare()
        self._await_room(context, *about)

    def _specification(self, spec: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the mapping to submit; a subclass may add to it."""
        return spec

    def _prepare(self) -> None:
        """Prepare for a new workload, just before it is submitted; a subclass may."""

    def _checkpoints(self, context: Context) -> CheckpointRoot | None:
        """Return where the training saves, as far as the task knows."""
        return CheckpointRoot.of(self, self._instructions(context).spec)

    def _checkpoints_now(self, context: Context) -> CheckpointRoot | None:
        """Return the same, once there is a workload: what is gone must not cost it its task."""
        try:
            return self._checkpoints(context)
        except RunaiError as error:
            self.log.warning("where the training saves cannot be read any more (%s)", error)
            return None

    def _grace(self, context: Context) -> float | None:
        """Return the longest grace of the workload's pods in seconds; ``None`` if not known."""
        try:
            return grace_of(self._instructions(context).spec)
        except RunaiError:
            return None

    def _note_lineage(
        self, context: Context, hook: RunaiHook, workload_id: str, project: str
    ) -> None:
        """Note for OpenLineage what the workload reads and writes; never raises."""
        try:
            lineage = self._lineage_of(context, project)
        except Exception as error:
            self.log.warning("OpenLineage is not told what the workload reads (%s)", error)
            lineage = Lineage()
        platform = hook.platform.address
        self._lineage = replace(lineage, workload_id=workload_id, platform=platform)

    def _lineage_of(self, context: Context, project: str) -> Lineage:
        """Return what the workload reads and writes; a subclass may add to it."""
        instructions = self._instructions(context).spec
        spec = WorkloadSpec.from_mapping(self._specification(instructions))
        root = CheckpointRoot.of(self, instructions)
        saved = [located(root.path, root.path_map, root.storage_conn_id)] if root else []
        return Lineage(read_by(spec, project), tuple(saved))
