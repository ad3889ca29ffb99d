"""
The states of a task instance in Airflow that matter to its workload.

All others mean: somebody waits, or will.
"""

from __future__ import annotations

#: No try will come back to the task by itself: only a person's clear makes it unfinished again.
FINISHED_TASK_STATES = frozenset({"failed", "success", "skipped", "removed", "upstream_failed"})
#: Airflow has no such task instance: its DAG or its run was deleted.
MISSING = "missing"
#: Nobody waits for the task's workload.
OVER_IN_AIRFLOW = FINISHED_TASK_STATES | {MISSING}
