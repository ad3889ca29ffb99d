"""Submit an unattended training exactly once and wait for it without holding a worker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.outcome import SUCCEEDED, Outcome
from airflow_runai.core.timeline import Moment
from airflow_runai.core.waiting import wait
from airflow_runai.core.workload import Workload
from airflow_runai.deployment import configuration
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import (
    RunaiWorkloadLink,
    pull_workload_xcom,
    push_timeline,
    push_workload_xcom,
)
from airflow_runai.operators.notification import NotifyingOperator
from airflow_runai.tasks.argument_checks import check_wait_arguments
from airflow_runai.tasks.checkpoint_result import fill_events, workload_event
from airflow_runai.tasks.companions import Companion, Company, beside_a_worker
from airflow_runai.tasks.completion import confirmed, count_kills
from airflow_runai.tasks.last_look import last_look, lives_of
from airflow_runai.tasks.log_end import show_end_of_log
from airflow_runai.tasks.log_tail import LogTail
from airflow_runai.tasks.long_waits import LongWait
from airflow_runai.tasks.mark_verdicts import with_verdicts
from airflow_runai.tasks.note_store import read_note
from airflow_runai.tasks.retries import fail_without_retry
from airflow_runai.tasks.settlement import failure_of, settle
from airflow_runai.tasks.steps import Steps
from airflow_runai.tasks.submission import submission_result
from airflow_runai.tasks.usage_report import usage_of
from airflow_runai.tasks.wait_policy import outcome_before_waiting, wait_policy
from airflow_runai.tasks.worker_stop import (
    StopSignal,
    end_if_task_is_finished,
    leaving_the_workload,
)
from airflow_runai.tasks.worker_tab import WorkerTab
from airflow_runai.triggers.workload import RunaiWorkloadTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiTrainingOperator(NotifyingOperator):
    """
    Run a training on Run:ai or Kubernetes: unattended, preemptible, submitted exactly once.

    Whatever happens to workers, triggerers and the control plane, one run of a task has one
    workload. While it is queued, preempted and resumed, the task is deferred: it holds no worker
    slot and spends no retry. The result is a small mapping: ``workload_id, name, project, phase,
    submitted_at, started_at, ended_at, clocks, interruptions, preemptions, kills, progress, usage``
    (docs/usage.md); only the first five with ``wait_for_completion=False``.

    :param spec: what to run, by the keys of ``docs/specification.md``; templated. ``distributed``
        in it makes a distributed training.
    :param command_line: a researcher's line such as ``runai submit train1 -i … -- …``, of any
        version (``docs/commands.md``), or the name of a ``.sh`` or ``.txt`` file that holds it.
        ``spec`` and the other arguments win over it. Split into words, then templated.
    :param template: name of a template (``docs/templates.md``) beneath ``spec`` and
        ``command_line``; templated.
    :param templates: templates in the DAG file (name: mapping), or the key of an Airflow Variable
        with their YAML; in addition to those in ``[runai] template_folder``.
    :param runai_conn_id: connection of type ``runai`` or ``kubernetes``; templated.
    :param project: project, on Kubernetes a queue; default: the connection's; templated.
    :param cluster: needed only if several clusters have a project of that name; templated.
    :param workload_name: readable part of the workload's name (a DNS label, at most 23 characters);
        default: the task id; templated.
    :param wait_for_completion: ``False`` only submits (or adopts) the workload, which then outlives
        its task: only a clear with ``on_clear="restart"`` ends it.
    :param deferrable: wait on the triggerer; ``False`` waits in the worker, with the same meaning.
        Default: ``[operators] default_deferrable`` where the site has set it, else ``True``.
    :param poll_interval: seconds between looks; default: ``[runai] poll_interval``.
    :param timeouts: seconds for the clocks ``queue, interruption, interrupted_total, running,
        total, starting, progress``, and for ``room``; by default there is no timeout; templated.
    :param when_suspended: if a person suspends the workload, ``wait`` until it is resumed, or
        ``end`` with the outcome ``stopped``.
    :param on_kill: what happens to the workload when a user ends the task or a timeout is exceeded:
        ``stop`` (delete it), ``suspend`` or ``keep``.
    :param on_clear: when a user clears the task: ``restart`` in a new workload (the old one is
        stopped first; training continues from its checkpoints) or ``reattach`` to the old one.
    :param checkpoint_root: where the training saves, as a container path or a URI; default: what
        a variable such as ``CHECKPOINTS`` names, if it is one absolute path; templated.
    :param expected_steps: the step at which the training is complete; templated.
    :param path_map: container prefixes to worker prefixes, for ``checkpoint_root``; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param allow_exit_on_preemption: believe exit code 0 also after a preemption had begun; by
        default the workload has then failed, unless a whole checkpoint has reached
        ``expected_steps``.
    :param get_logs: what of the training's log goes into the task's: the ``tail`` (100 lines) of
        each incarnation that ends, all that is new (``follow``), or nothing (``off``).
    :param tail_on_success: show the tail also when the training succeeds.
    :param lint_ignore: codes of lint rules (``docs/lint.md``) that are not reported for this task.
    """

    template_fields: Sequence[str] = (
        *NotifyingOperator.template_fields,
        "runai_conn_id",
        "project",
        "cluster",
        "workload_name",
        "timeouts",
    )
    template_fields_renderers = {**NotifyingOperator.template_fields_renderers, "timeouts": "json"}
    operator_extra_links = (RunaiWorkloadLink(),)
    ui_color = "#76b900"
    __supports_durable_execution = True
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
        wait_for_completion: bool = True,
        deferrable: bool | None = None,
        poll_interval: float | None = None,
        timeouts: Mapping[str, float] | None = None,
        when_suspended: str = "wait",
        on_kill: str = "stop",
        on_clear: str = "restart",
        get_logs: str = "tail",
        tail_on_success: bool = False,
        lint_ignore: Sequence[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec
        self.command_line = command_line
        self.template = template
        self.templates = templates
        self.runai_conn_id = runai_conn_id
        self.project, self.cluster = project, cluster
        self.workload_name = workload_name
        self.wait_for_completion = wait_for_completion
        self.deferrable = deferrable
        self.poll_interval, self.timeouts = poll_interval, timeouts
        self.when_suspended = when_suspended
        self.kill_action, self.on_clear = on_kill, on_clear
        self.get_logs, self.tail_on_success = get_logs, tail_on_success
        self.lint_ignore = lint_ignore
        self._stop_signal = StopSignal()
        self._check_arguments()

    def _check_arguments(self) -> None:
        check_wait_arguments(
            self.poll_interval,
            self.timeouts,
            self.wait_for_completion,
            on_kill=self.kill_action,
            on_clear=self.on_clear,
            when_suspended=self.when_suspended,
            get_logs=self.get_logs,
        )
        self._check_room()
        self._check_callbacks()
        self._check_payload()

    def execute(self, context: Context) -> dict[str, Any]:
        """Submit or adopt; then wait, deferred or here."""
        self._stop_signal = StopSignal()  # `dag.test` runs several tries in one process
        note = read_note(context)
        submitted = note is not None and note.generation > 0
        with fail_without_retry(in_the_middle=submitted):
            policy = self._policy()
            self._checkpoints(context)  # a slip there must be known before anything is submitted
            if not submitted:  # later, a slip there costs no training
                self._rendered_callbacks(context)
            hook = RunaiHook(self.runai_conn_id)
            project, workload, gpus = self._submit(context, hook, note, submitted)
        with fail_without_retry(in_the_middle=True):
            push_workload_xcom(context, hook.settings, workload, project, gpus)
            if not self.wait_for_completion:
                return submission_result(workload, project)
            if self._stop_signal.received:
                # If a user ended the task during the submission, no trigger has heard of it.
                end_if_task_is_finished(context, hook, workload, self.kill_action)
            outcome = None
            if configuration.deferrable(self.deferrable):
                outcome = outcome_before_waiting(hook, workload, policy)
            return self._until_settled(context, hook, workload, outcome)

    def _policy(self) -> WaitPolicy:
        # Not needed yet, but a slip in the configuration must not cost a workload.
        configuration.seconds("min_defer_seconds")
        configuration.deferrable(self.deferrable)
        return wait_policy(
            self.poll_interval, self.timeouts, self.when_suspended, self.allow_exit_on_preemption
        )

    def _until_settled(
        self, context: Context, hook: RunaiHook, workload: Workload, outcome: Outcome | None
    ) -> dict[str, Any]:
        """Wait, deferred or here, until an end is one; both ways of waiting lead through here."""
        root = partial(self._checkpoints_now, context)
        while True:
            if outcome is not None:
                # Before it settles: a workload that is deleted takes its log along.
                tail = show_end_of_log(hook, outcome, self.get_logs, self.tail_on_success)
                if settled := settle(hook, outcome, self._policy, self.kill_action, root):
                    return self._finish(context, hook, settled, tail)
            if self._stop_signal.received:
                # The look may have taken as long as a time-out; later signals reach the trigger.
                end_if_task_is_finished(context, hook, workload, self.kill_action)
            if configuration.deferrable(self.deferrable):
                self._defer(context, workload, self._policy())
            outcome = self._wait(context, hook, workload, outcome.timeline if outcome else ())

    def _wait(
        self, context: Context, hook: RunaiHook, workload: Workload, timeline: tuple[Moment, ...]
    ) -> Outcome:
        policy, root = self._policy(), self._checkpoints_now(context)
        tab, settings = WorkerTab(context), hook.settings
        log = LogTail(
            settings,
            workload,
            self.get_logs,
            policy.poll_interval,
            lambda news, end, is_urgent: tab.add_log(end),
        )
        why = LongWait(settings, workload.to_json(), partial(self._tell_reasons, tab))
        steps = Steps(root, lambda news: self.log.info("%s", news.text)) if root else None
        company: list[Companion] = [why, log, *self._voices(context, workload)]
        with leaving_the_workload(context, hook, workload, self.kill_action):
            reader = hook.backend.reader(workload)
            waiting = wait(policy, reader, workload, timeline, steps)
            everyone = Company([*company, *([steps] if steps else [])])
            with beside_a_worker(everyone, partial(self._tell, tab)) as hear:
                outcome = hook.run(waiting, hear, tab.pausing(self._stop_signal.sleep))
        return replace(outcome, log=log.rest())

    def _defer(self, context: Context, workload: Workload, policy: WaitPolicy) -> None:
        root = self._checkpoints_now(context)
        self.defer(
            trigger=RunaiWorkloadTrigger(
                runai_conn_id=self.runai_conn_id,
                workload=workload.to_json(),
                policy=policy.to_json(),
                on_kill=self.kill_action,
                show_timeline=self.do_xcom_push,
                get_logs=self.get_logs,
                checkpoints=root.to_json() if root else None,
                min_defer_seconds=configuration.seconds("min_defer_seconds"),
                voice=self._voice(context),
            ),
            method_name="execute_complete",
            # Airflow's own would fail the task and leave the workload; ours are in the policy.
            timeout=None,
        )

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> dict[str, Any]:
        """Go on when the trigger has fired."""
        with fail_without_retry(in_the_middle=True):
            outcome, hook = Outcome.from_event(event), RunaiHook(self.runai_conn_id)
            return self._until_settled(context, hook, outcome.workload(), outcome)

    def _finish(
        self, context: Context, hook: RunaiHook, outcome: Outcome, tail: list[str]
    ) -> dict[str, Any]:
        """Return the result or raise; ``tail`` is the end of the workload's log."""
        root = partial(self._checkpoints_now, context)
        outcome = confirmed(outcome, root, self.allow_exit_on_preemption)
        # The project may have come from the connection or a template.
        pushed = pull_workload_xcom(context)
        outcome, saves = last_look(outcome, root())
        used = usage_of(hook, outcome, pushed.get("gpus"), saves)
        facts = {"usage": used, "incarnations": lives_of(hook, outcome), "log_tail": tail}
        push_timeline(context, with_verdicts({**outcome.to_news(), **facts}, root()))
        self.log.info("%s", outcome.summary)
        kills = count_kills(outcome, self._grace(context))
        project = pushed.get("project") or self.project or ""
        self._note_lineage(context, hook, outcome.workload_id, project)
        if outcome.status != SUCCEEDED:
            raise failure_of(context, outcome, self.kill_action, project)
        result = {**outcome.to_result(project), "kills": kills, "usage": used}
        result = self._succeeded(context, result)
        fill_events(self, context, workload_event(result))
        return result

    def _succeeded(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        """Return the task's result after success; a subclass may add to it."""
        return result

    def on_kill(self) -> None:
        """Note a SIGTERM; the waiting code finds out what it means (``worker_stop.py``)."""
        self._stop_signal.received = True
