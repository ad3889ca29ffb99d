"""The check of a dry run that asks what the platform has against the workload."""

from __future__ import annotations

from airflow_runai.cli.checks import OK, PROBLEM, UNKNOWN, CheckResult, DryRun
from airflow_runai.core.policies import breaches
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.task_purpose import TaskPurpose
from airflow_runai.errors import NotResolved, Refused

#: No task has such a name, so none is taken by it.
_NAME = "dry-run-0000000000-g1"


def policy(run: DryRun) -> CheckResult:
    """Let the platform rehearse the creation; else compare with the project's policy."""
    hook, project, spec = run.connected_hook, run.project, run.checked_spec
    request = SubmissionRequest(_NAME, spec, 1)
    try:
        found = hook.run(hook.backend.rehearse(project, request))
        lacking = hook.run(hook.backend.lacking_rights(project, TaskPurpose(spec)))
    except (Refused, NotResolved) as error:
        return _refused(run, str(error))
    if found is None:
        return _compared(run)
    if lacking:
        return UNKNOWN, lacking
    return OK, "; ".join(["the cluster would create it", *found])


def _compared(run: DryRun) -> CheckResult:
    hook, project, spec = run.connected_hook, run.project, run.checked_spec
    effective = hook.run(hook.backend.policy(project, spec.kind))
    broken = breaches(effective, spec.to_wire()["spec"])
    if not broken:
        return OK, "no rule is broken" if effective.get("rules") else "no rules"
    return _refused(run, "; ".join(broken))


def _refused(run: DryRun, why: str) -> CheckResult:
    if run.later:
        # What is known only later may be just what the rule asks for.
        return UNKNOWN, f"as far as can be seen: {why}"
    return PROBLEM, why
