"""When the work of a workload is done, by the exit codes of its pods."""

from __future__ import annotations

from collections.abc import Sequence

from airflow_runai.emulator.records import EmulatedWorkload


def is_completed(workload: EmulatedWorkload, exits: Sequence[int | None]) -> bool:
    """Whether the pods that run are done: the master if there is one, else all."""
    return exits[0] == 0 if workload.has_master else _all_zero(exits)


def is_finished(workload: EmulatedWorkload, exits: Sequence[int | None]) -> bool:
    """Whether all pods have ended well, and no others of the set are left."""
    return _all_zero(exits) and workload.is_last_wave


def _all_zero(exits: Sequence[int | None]) -> bool:
    return bool(exits) and all(code == 0 for code in exits)
