"""
The preemption drill: whether a training will survive.

Runs the researcher's own script in the embedded Run:ai, preempts it, gives it back on an empty
node, and judges from its checkpoints what came of it, beside a run that nobody interrupted. On the
command line: ``airflow runai drill`` or ``python -m airflow_runai.drill``. It imports no Airflow,
needs no cluster, and measures neither GPUs nor images.
"""

from __future__ import annotations

from airflow_runai.drill.plan import DrillError, DrillPlan

__all__ = ["DrillError", "DrillPlan"]
