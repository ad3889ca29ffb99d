"""The states in which Airflow awaits a task's workload no more; in all others it is awaited."""

from __future__ import annotations

#: No try follows by itself: only a user's clear takes the task out of these.
FINISHED_TASK_STATES = frozenset({"failed", "success", "skipped", "removed", "upstream_failed"})
#: Airflow has no such task instance: its DAG or its run was deleted.
MISSING = "missing"
#: No one waits for the task's workload.
OVER_IN_AIRFLOW = FINISHED_TASK_STATES | {MISSING}
