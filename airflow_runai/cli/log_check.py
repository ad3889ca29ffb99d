"""The check of a dry run that finds out whether logs can be had from here."""

from __future__ import annotations

from airflow_runai.cli.checks import OK, CheckResult, DryRun


def logs(run: DryRun) -> CheckResult:
    """Ask the project's cluster whether its API is there."""
    hook, cluster_id = run.connected_hook, run.project.cluster_id
    return OK, f"{hook.run(hook.backend.log_server(cluster_id))} answers"
