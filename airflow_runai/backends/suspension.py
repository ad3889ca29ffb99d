"""
Suspending and resuming, and whether it took effect: an accepted call proves nothing.

Run:ai 3.0 documents that workloads from before the upgrade to it can neither be suspended nor
resumed, but not how it answers. So the workload itself is looked at after the call.
"""

from __future__ import annotations

from airflow_runai.core.backend import Workloads
from airflow_runai.core.flow import Flow, Sleep
from airflow_runai.core.phases import OVER, Meaning
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NoEffect, RunaiError

#: Pauses (seconds) between looks; after the last one the call had no effect.
_PAUSES = (0.0, 2.0, 4.0, 8.0, 15.0, 30.0)
#: What helps a workload that does not react.
ADVICE = (
    "a workload that was submitted before an upgrade to Run:ai 3.0 can neither be suspended nor "
    "resumed there: delete it and submit it again, which goes on from its checkpoints"
)


def suspend(backend: Workloads, workload: Workload) -> Flow[None]:
    """
    Suspend a workload; return once its pods are being stopped, or it has ended.

    :raises NoEffect: if it is not suspended within a minute.
    """
    yield from backend.suspend(workload)
    yield from _until(backend, workload, "suspended", suspended=True)


def resume(backend: Workloads, workload: Workload) -> Flow[None]:
    """
    Let a suspended workload queue again; return once it does, or it has ended.

    :raises NoEffect: if it is still suspended after a minute.
    """
    yield from backend.resume(workload)
    yield from _until(backend, workload, "resumed", suspended=False)


def _until(backend: Workloads, workload: Workload, wanted: str, suspended: bool) -> Flow[None]:
    phase = ""
    for pause in _PAUSES:
        if pause:
            yield Sleep(pause)
        try:
            now = yield from backend.reader(workload).read(workload.id)
        except RunaiError:
            continue  # the call was accepted, and nothing speaks against it
        if now.meaning in OVER or (now.meaning is Meaning.SUSPENDED) == suspended:
            return
        phase = now.phase
    if phase:
        raise NoEffect(
            f"workload {workload.name}: was told to be {wanted}, and is still {phase} after "
            f"{sum(_PAUSES):.0f} s; {ADVICE}"
        )
