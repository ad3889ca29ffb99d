"""The request that submits a drilled script, and the paths that the script sees."""

from __future__ import annotations

import math
import shlex

from airflow_runai.drill.facts import RunKind
from airflow_runai.drill.plan import DEFAULT_VARIABLE, DrillPlan
from airflow_runai.emulator.world import EmulatedProject

#: The same in all runs: checkpoints that contain it must not differ for that.
NAME = "training"
#: As a container would see it. No script holds such a path by chance, and the emulator replaces it.
WORK = "/runai-drill/work"
_SAVES = "/runai-drill/checkpoints"


def saves_path(plan: DrillPlan) -> str:
    """Return where the script sees its checkpoints; an absolute path of its own is mapped."""
    path = plan.checkpoints
    if path and path.startswith("/") and not plan.saves_inside:
        return path.rstrip("/")
    return _SAVES


def request_body(plan: DrillPlan, kind: RunKind, project: EmulatedProject) -> dict[str, object]:
    """Return the body of the request, in the server's notation."""
    saves = saves_path(plan)
    variables = {DEFAULT_VARIABLE: saves, **plan.environment}
    spec: dict[str, object] = {
        "image": "ignored",
        "command": shlex.quote(f"./{plan.script.name}"),
        "workingDir": WORK,
        "environmentVariables": [
            {"name": name, "value": value} for name, value in variables.items()
        ],
        "terminationGracePeriodSeconds": math.ceil(plan.grace),
        # A kill in a write is a failure, and not a preemption: it takes a restart.
        "backoffLimit": 1 if kind == "strike" else 0,
        "compute": {"gpuDevicesRequest": 1},
        "storage": {"hostPath": [{"path": path, "mountPath": path} for path in (WORK, saves)]},
    }
    if plan.arguments:
        spec["args"] = shlex.join(plan.arguments)
    return {"name": NAME, "projectId": project.id, "clusterId": project.cluster_id, "spec": spec}
