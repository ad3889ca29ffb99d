"""The flags of CLI v2 that set the master apart from its workers in a distributed training."""

from __future__ import annotations

from airflow_runai.core.command_line.flags import always, amount, named, put, row
from airflow_runai.core.command_line.rows_shared import MANY, NOTHING, ONE
from airflow_runai.core.command_line.targets_v2 import variables
from airflow_runai.core.command_line.values import cores, number

LAUNCHERS = "MPI PyTorch TF XGBoost"

MASTER = (
    row(
        "master-args",
        ONE,
        put("distributed.master.args"),
        "arguments of the master, one text",
        only=LAUNCHERS,
    ),
    row(
        "master-command",
        ONE,
        put("distributed.master.command"),
        "command of the master, one text",
        only=LAUNCHERS,
    ),
    row(
        "master-environment-variable master-environment",
        MANY,
        variables("distributed.master.environment"),
        "variable of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-extended-resource",
        MANY,
        named("distributed.master.compute.extended_resources"),
        "of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-gpu-devices-request",
        ONE,
        put("distributed.master.compute.gpu_devices"),
        "GPUs of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-gpu-portion-request",
        ONE,
        put("distributed.master.compute.gpu_portion", show=number),
        "of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-gpu-portion-limit",
        ONE,
        put("distributed.master.compute.gpu_portion_limit", show=number),
        "of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-cpu-core-request",
        ONE,
        put("distributed.master.compute.cpu_cores", cores, number),
        "of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-cpu-core-limit",
        ONE,
        put("distributed.master.compute.cpu_cores_limit", cores, number),
        "of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-cpu-memory-request",
        ONE,
        amount("distributed.master.compute.cpu_memory"),
        "of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-cpu-memory-limit",
        ONE,
        amount("distributed.master.compute.cpu_memory_limit"),
        "of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-restart-policy",
        ONE,
        put("distributed.master.restart_policy"),
        "of the master",
        only=LAUNCHERS,
    ),
    row(
        "master-no-pvcs",
        NOTHING,
        always("distributed.master.storage.pvc", (), lambda value: None if value else ""),
        "no claims in the master",
        only=LAUNCHERS,
    ),
)
