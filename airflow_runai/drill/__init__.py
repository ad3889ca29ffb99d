"""
The preemption drill: shows whether a training survives.

Runs the researcher's own script in the embedded Run:ai, preempts it, gives it back on an empty
node, and compares its checkpoints with those of an uninterrupted run. On the command line:
``airflow runai drill`` or ``python -m airflow_runai.drill``. It imports no Airflow, needs no
cluster, and measures neither GPUs nor images.
"""

from __future__ import annotations

from airflow_runai.drill.plan import DrillError, DrillPlan

__all__ = ["DrillError", "DrillPlan"]
