"""Submit an unattended training exactly once and wait for it without holding a worker."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from airflow_runai.backends import control_plane
from airflow_runai.backends.submission import retry_while_unreachable, steadfastly
from airflow_runai.backends.termination import stop
from airflow_runai.core.decision import Timeouts, WaitPolicy, decide
from airflow_runai.core.flow import Notice
from airflow_runai.core.outcome import STALLED, STOPPED, SUCCEEDED, TIMED_OUT, Outcome
from airflow_runai.core.phases import OVER
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.task_states import FINISHED_TASK_STATES
from airflow_runai.core.timeline import Moment
from airflow_runai.core.waiting import take_snapshot, wait
from airflow_runai.core.workload import Workload
from airflow_runai.deployment import configuration
from airflow_runai.deployment.task_states import task_state
from airflow_runai.errors import Refused, SpecError, Unreachable, WorkloadEnded
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import (
    TIMELINE_KEY,
    WORKLOAD_KEY,
    RunaiWorkloadLink,
    push_workload_xcom,
)
from airflow_runai.tasks.argument_checks import check_payload_arguments, check_wait_arguments
from airflow_runai.tasks.instructions import gather, show
from airflow_runai.tasks.parse_time_lint import lint_at_parse
from airflow_runai.tasks.retries import fail_without_retry
from airflow_runai.tasks.settlement import settle
from airflow_runai.tasks.submission import Submission, note_missing, read_note
from airflow_runai.triggers.workload import RunaiWorkloadTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiTrainingOperator(BaseOperator):
    """
    Run a training on Run:ai: unattended, preemptible, submitted exactly once.

    Whatever happens to workers, triggerers and the control plane, one run of a task has one
    workload. While it is queued, preempted and resumed the task is deferred: no worker slot is held
    and no retry is spent. The result is a small mapping: ``workload_id, name, project, phase,
    submitted_at, started_at, ended_at, clocks, interruptions, preemptions``.

    :param spec: what to run, see the specification's keys in ``docs/specification.md``; templated.
        ``distributed`` in it makes a distributed training.
    :param command_line: a line that researchers use, such as ``runai submit train1 -i … -- …``, any
        version; ``spec`` and the other arguments win over it. See ``docs/commands.md``. Templates
        in it are rendered word by word, after it was split.
    :param template: name of a template (``docs/templates.md``) beneath ``spec`` and
        ``command_line``; templated.
    :param templates: templates in the DAG file (name: mapping), or the key of an Airflow Variable
        with their YAML; besides those in ``[runai] template_folder``.
    :param runai_conn_id: connection of type ``runai``.
    :param project: Run:ai project; default: the connection's.
    :param cluster: needed only where several clusters have a project of that name.
    :param workload_name: readable part of the workload's name (a DNS label, at most 23 characters);
        default: the task id.
    :param deferrable: wait on the triggerer; ``False`` waits in the worker, with the same meaning.
    :param poll_interval: seconds between looks; default: ``[runai] poll_interval``.
    :param limits: seconds for the clocks ``queue, interruption, interrupted_total, running, total,
        starting``; what is not named is not limited.
    :param when_suspended: a person suspended it: ``wait`` until it is resumed, or ``end`` with the
        outcome ``stopped``.
    :param on_kill: when a user ends the task, or a limit is exceeded: ``stop`` (deletes it),
        ``suspend`` or ``keep``.
    :param on_clear: when a user clears the task: ``restart`` in a new workload (the old one is
        stopped first; training continues from its checkpoints) or ``reattach`` to the old one.
    :param lint_silence: codes of lint rules (``docs/lint.md``) that are not reported for this task.
    """

    #: Whether it starts from the beginning after a preemption, and may.
    evaluates = False

    template_fields: Sequence[str] = (
        *("spec", "template", "runai_conn_id", "project", "cluster", "workload_name", "limits"),
    )
    template_fields_renderers = {"spec": "json", "limits": "json"}
    template_ext: Sequence[str] = ()
    operator_extra_links = (RunaiWorkloadLink(),)
    ui_color = "#76b900"
    ui_fgcolor = "#000000"

    def __init__(
        self,
        *,
        spec: Mapping[str, Any] | None = None,
        command_line: str | None = None,
        template: str | None = None,
        templates: Mapping[str, Any] | str | None = None,
        runai_conn_id: str = RunaiHook.default_conn_name,
        project: str | None = None,
        cluster: str | None = None,
        workload_name: str | None = None,
        deferrable: bool = True,
        poll_interval: float | None = None,
        limits: Mapping[str, float] | None = None,
        when_suspended: str = "wait",
        on_kill: str = "stop",
        on_clear: str = "restart",
        lint_silence: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.command_line = command_line
        self.template = template
        self.templates = templates
        self.runai_conn_id = runai_conn_id
        self.project = project
        self.cluster = cluster
        self.workload_name = workload_name
        self.deferrable = deferrable
        self.poll_interval = poll_interval
        self.limits = limits
        self.when_suspended = when_suspended
        self.kill_action = on_kill
        self.on_clear = on_clear
        self.lint_silence = lint_silence
        self._killed = False
        parsed = check_payload_arguments(spec, command_line, template, workload_name)
        check_wait_arguments(
            poll_interval, limits, on_kill=on_kill, on_clear=on_clear, when_suspended=when_suspended
        )
        lint_at_parse(self, parsed)

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit or adopt; then wait, deferred or here."""
        self._killed = False  # a try in the same process (``dag.test``) must not inherit it
        note = read_note(context)
        submitted = note is not None and note.generation > 0
        with fail_without_retry(in_the_middle=submitted):
            told = gather(
                *(self.spec, self.command_line, self.template, self.templates),
                render=lambda value: self.render_template(value, context),
            )
            spec, policy = WorkloadSpec.from_mapping(self._specification(told.spec)), self._policy()
            show(spec)
            hook = RunaiHook(self.runai_conn_id)
            patience = steadfastly if submitted else retry_while_unreachable
            project = hook.project(self.project or told.project, self.cluster, patience)
            slug = self.workload_name or told.slug
            submission = Submission(
                hook, context, project, spec, note, slug, self.on_clear, self.kill_action
            )
            workload = submission.submit_or_adopt(before_create=self._prepare)
        with fail_without_retry(in_the_middle=True):
            push_workload_xcom(context, hook.settings.url, workload, project.name)
            if self._killed:
                # If the user ended the task during the submission, nobody else will see to the
                # workload.
                self._end_if_task_is_finished(context, hook, workload)
            return self._until_settled(
                context, hook, workload, self._glance(hook, workload, policy)
            )

    def _specification(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return the mapping to submit; a subclass may add to what the author told."""
        return told

    def _prepare(self) -> None:
        """Do what must be done before a new workload is submitted; a subclass may."""

    def _policy(self) -> WaitPolicy:
        # Needed only to defer; but a slip in the configuration must show before there is a workload
        # to lose.
        configuration.seconds("min_defer_seconds")
        interval = self.poll_interval or configuration.seconds("poll_interval")
        try:
            limits = Timeouts(
                **{clock: float(value) for clock, value in (self.limits or {}).items()}
            )
            return WaitPolicy(interval, limits, self.when_suspended)
        except (TypeError, ValueError, AttributeError) as error:
            words = f"limits: {self.limits!r}: {error}; allowed: a mapping from clocks to seconds greater than 0"
            raise SpecError([words]) from None

    def _until_settled(
        self, context: Context, hook: RunaiHook, workload: Workload, outcome: Outcome | None
    ) -> dict[str, Any]:
        """Wait, deferred or here, until an end is one; both ways of waiting lead through here."""
        timeline: tuple[Moment, ...] = ()
        while True:
            if outcome is not None:
                timeline = outcome.timeline
                if settled := settle(hook, outcome, self._policy, self.kill_action):
                    return self._finish(context, settled)
            if self._killed:
                # The look may have taken as long as a time-out, and what comes after this is heard
                # by the trigger.
                self._end_if_task_is_finished(context, hook, workload)
            if self.deferrable:
                self._defer(workload, self._policy())
            outcome = self._wait(context, hook, workload, timeline)

    def _wait(
        self, context: Context, hook: RunaiHook, workload: Workload, timeline: tuple[Moment, ...]
    ) -> Outcome:
        try:
            waiting = wait(self._policy(), control_plane.reader_for(workload), workload, timeline)
            return hook.run(waiting, lambda news: self._tell(context, news), self._nap)
        except _Terminated:
            state = self._end_if_task_is_finished(context, hook, workload)
            words = f"workload {workload.name} goes on; the next try adopts it"
            raise AirflowException(
                f"the worker was told to stop (the task is {state}): {words}"
            ) from None

    def _glance(self, hook: RunaiHook, workload: Workload, policy: WaitPolicy) -> Outcome | None:
        """
        Look before deferring at what the submission saw to have ended.

        A trigger that fires at once can make Airflow fail the task; whoever waits here looks at
        once anyway.
        """
        if not self.deferrable or workload.meaning not in OVER:
            return None
        try:
            verdict = decide(
                policy, hook.run(take_snapshot(control_plane.reader_for(workload), workload))
            )
        except (Unreachable, Refused):
            return None
        return verdict if isinstance(verdict, Outcome) else None

    def _defer(self, workload: Workload, policy: WaitPolicy) -> None:
        self.defer(
            trigger=RunaiWorkloadTrigger(
                runai_conn_id=self.runai_conn_id,
                workload=workload.to_json(),
                policy=policy.to_json(),
                on_kill=self.kill_action,
                min_defer_seconds=configuration.seconds("min_defer_seconds"),
            ),
            method_name="execute_complete",
            # Airflow's own time-out would end the task without a chance to stop the workload; ours
            # are in the policy.
            timeout=None,
        )

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Take up the task again when the trigger has fired."""
        with fail_without_retry(in_the_middle=True):
            outcome = Outcome.from_event(event)
            return self._until_settled(
                context, RunaiHook(self.runai_conn_id), outcome.workload(), outcome
            )

    def _finish(self, context: Context, outcome: Outcome) -> dict[str, Any]:
        """Return the result or raise."""
        context["ti"].xcom_push(key=TIMELINE_KEY, value=outcome.to_news())
        known = context["ti"].xcom_pull(
            task_ids=self.task_id, key=WORKLOAD_KEY, map_indexes=context["ti"].map_index
        )
        result = outcome.to_result(project=(known or {}).get("project") or self.project or "")
        spent = outcome.clocks
        self.log.info(
            "%s %s after %.0f s (%.0f s running, %d interruptions)",
            *(outcome.name, outcome.status, spent.total, spent.running, spent.interruptions),
        )
        if outcome.status == SUCCEEDED:
            return self._succeeded(context, result)
        words = f"workload {outcome.name} {outcome.status}: {outcome.reason}"
        if outcome.absent:
            note_missing(context)
            words += "; no second one is begun. If it is gone for good, clear the task with on_clear='restart'"
        if outcome.status == STOPPED or (
            outcome.status in (TIMED_OUT, STALLED) and self.kill_action != "stop"
        ):
            # It is still there, suspended by a person or kept for one: a retry would adopt it and
            # wait for ever.
            raise AirflowFailException(words)
        raise WorkloadEnded(words, outcome.to_event())

    def _succeeded(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Return the task's result after success; a subclass may add to it."""
        return result

    def _tell(self, context: Context, news: Notice) -> None:
        self.log.info("%s", news.text)
        if news.kind == "timeline":
            context["ti"].xcom_push(key=TIMELINE_KEY, value=dict(news.data))

    def on_kill(self) -> None:
        """
        Take note of a SIGTERM; the waiting code acts on it.

        Airflow sends the same signal when a user ends the task and when a node is drained, and goes
        on with ``execute`` afterwards. The workload must survive the second, so nothing is decided
        here.
        """
        self._killed = True

    def _nap(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while True:
            if self._killed:
                raise _Terminated
            left = deadline - time.monotonic()
            if left <= 0:
                return
            time.sleep(min(left, 0.5))

    def _end_if_task_is_finished(
        self, context: Context, hook: RunaiHook, workload: Workload
    ) -> str | None:
        """Find out what SIGTERM meant: a user ended the task (raise), or its node goes down (return the state)."""
        state = _state(context)
        if state in FINISHED_TASK_STATES:
            ended = hook.run(
                stop(workload, self.kill_action, lambda: _state(context) in FINISHED_TASK_STATES)
            )
            done = ended or f"workload {workload.name} was told to end"
            raise AirflowException(f"the worker was told to stop (the task is {state}): {done}")
        return state


def _state(context: Context) -> str | None:
    return task_state(context["ti"], context["ti"].get_task_states)


class _Terminated(Exception):
    """The worker process received SIGTERM while it waited."""
