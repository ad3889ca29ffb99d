"""The last check of a dry run: which workloads have the name already, and what a try would do."""

from __future__ import annotations

from airflow_runai.backends.submission import generations
from airflow_runai.cli.checks import OK, PROBLEM, CheckResult, DryRun, NotChecked
from airflow_runai.cli.names import ExpectedName, expected_name
from airflow_runai.core.phases import OVER
from airflow_runai.core.submission import Create, Tries, plan_submission
from airflow_runai.core.workload import Workload, fingerprint_in


def name(run: DryRun) -> CheckResult:
    """Look for workloads with the name that it would get."""
    task = run.target.task
    if task and task.mapped and run.run_id is not None and run.map_index < 0:
        raise NotChecked("the task is mapped; name one of its instances with --map-index")
    expected = expected_name(run.target, run.run_id, run.map_index)
    return _name_in_run(run, expected) if expected.complete else _name_in_any_run(run, expected)


def _name_in_any_run(run: DryRun, expected: ExpectedName) -> CheckResult:
    hook = run.connected_hook
    workloads = hook.run(hook.backend.find(run.project, expected.prefix))
    pattern = f"{expected.prefix}<hash of the run>-g1"
    if workloads:
        listed = ", ".join(f"{workload.name} ({workload.phase})" for workload in workloads[:5])
        more = " …" if workloads[5:] else ""
        pattern += f"; there already, of other runs: {listed}{more}"
    if run.target.task is not None:
        return OK, f"{pattern}; --run-id tells what becomes of one run"
    ignored = "; --run-id says nothing without a task" if run.run_id is not None else ""
    return OK, f"{pattern}; only a task has runs{ignored}"


def _name_in_run(run: DryRun, expected: ExpectedName) -> CheckResult:
    """Predict the next try; only the task itself knows what it has submitted."""
    hook = run.connected_hook
    existing = hook.run(generations(hook.backend, run.project, expected.digest))
    alive = [workload for _, workload in existing if workload.meaning not in OVER]
    # Only the newest generation is ever adopted.
    if alive:
        return _name_is_taken(run, alive[-1])
    # As if nothing had been submitted before by this try.
    step = plan_submission(existing, Tries(1), None, expected.on_clear)
    before = step.before if isinstance(step, Create) else None
    ended = f"; {before.name} has ended ({before.phase})" if before else ""
    return OK, f"{expected.base}-g{step.generation} is free{ended}"


def _name_is_taken(run: DryRun, owner: Workload) -> CheckResult:
    hook = run.connected_hook
    # Lists of some servers leave out the variables that hold the fingerprint.
    fingerprint = owner.fingerprint or fingerprint_in(hook.run(hook.backend.get_spec(owner)))
    exists = f"{owner.name} exists ({owner.phase})"
    if fingerprint is None:
        return PROBLEM, f"{exists}, but no task made it: the task would refuse it; delete it"
    condition = "if this run submitted it and its specification is the same, else refused"
    return OK, f"{exists}: it would be adopted {condition}"
