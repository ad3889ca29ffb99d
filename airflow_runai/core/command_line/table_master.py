"""The flags of CLI v2 that set the master apart from its workers in a distributed training."""

from __future__ import annotations

from dataclasses import replace

from airflow_runai.core.command_line.flags import row
from airflow_runai.core.command_line.targets import constant, memory, named, spec_key
from airflow_runai.core.command_line.values import cores, number
from airflow_runai.core.command_line.variables import variables

LAUNCHERS = "MPI PyTorch TF XGBoost"

_MASTER = "distributed.master"
_COMPUTE = f"{_MASTER}.compute"
_NO_CLAIMS = constant(f"{_MASTER}.storage.pvc", (), lambda value: None if value else "")

_ROWS = (
    row("master-args", spec_key(f"{_MASTER}.args"), "arguments of the master, one text"),
    row("master-command", spec_key(f"{_MASTER}.command"), "command of the master, one text"),
    row(
        "master-environment-variable master-environment",
        variables(f"{_MASTER}.environment"),
        "variable of the master",
    ),
    row("master-extended-resource", named(f"{_COMPUTE}.extended_resources"), "of the master"),
    row("master-gpu-devices-request", spec_key(f"{_COMPUTE}.gpu_devices"), "GPUs of the master"),
    row(
        "master-gpu-portion-request",
        spec_key(f"{_COMPUTE}.gpu_portion", show=number),
        "of the master",
    ),
    row(
        "master-gpu-portion-limit",
        spec_key(f"{_COMPUTE}.gpu_portion_limit", show=number),
        "of the master",
    ),
    row(
        "master-cpu-core-request", spec_key(f"{_COMPUTE}.cpu_cores", cores, number), "of the master"
    ),
    row(
        "master-cpu-core-limit",
        spec_key(f"{_COMPUTE}.cpu_cores_limit", cores, number),
        "of the master",
    ),
    row("master-cpu-memory-request", memory(f"{_COMPUTE}.cpu_memory"), "of the master"),
    row("master-cpu-memory-limit", memory(f"{_COMPUTE}.cpu_memory_limit"), "of the master"),
    row("master-restart-policy", spec_key(f"{_MASTER}.restart_policy"), "of the master"),
    row("master-no-pvcs", _NO_CLAIMS, "no claims in the master"),
)

MASTER = tuple(replace(flag, only=frozenset(LAUNCHERS.split())) for flag in _ROWS)
