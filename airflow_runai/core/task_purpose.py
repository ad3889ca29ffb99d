"""What a task is about to do with one training, as far as it decides which rights that takes."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.core.spec import WorkloadSpec


@dataclass(frozen=True)
class TaskPurpose:
    """
    What a task is about to do with one training.

    :param on_kill: ``stop``, ``suspend`` or ``keep``; noted in the workload, for the reaper.
    :param awaited: whether the task waits for the workload; only then may others end it.
    :param deferred: whether a triggerer waits.
    :param shows_log: whether the training's log goes into the task's.
    :param looks_for_room: whether it is submitted only when there is room.
    """

    spec: WorkloadSpec
    on_kill: str = "stop"
    awaited: bool = True
    deferred: bool = True
    shows_log: bool = True
    looks_for_room: bool = False
