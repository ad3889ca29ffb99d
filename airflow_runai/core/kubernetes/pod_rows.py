"""The pods of a training as rows, as ``core/incarnations.py`` and ``core/reasons`` read them."""

from __future__ import annotations

from collections.abc import Collection

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.kubernetes.endings import SUCCEEDED
from airflow_runai.core.kubernetes.incarnations import PodIncarnation


def pod_row(one: PodIncarnation, present: Collection[str]) -> JsonObject:
    """
    Return the row of an incarnation; times in epoch seconds, what is not known is left out.

    :param present: uids of the pods that still exist.
    """
    over = one.end or one.start or one.made
    container = {"startedAt": one.start, "exitCode": one.exit_code, "reason": one.reason or None}
    row: JsonObject = {
        "id": one.uid,
        "name": one.name,
        "nodeName": one.node or None,
        "createdAt": one.made,
        "completedAt": over if one.ended else None,
        "deletedAt": None if one.uid in present else over,
        "k8sPhase": _phase(one),
        "ended": one.ended or None,
        "by": one.by or None,
    }
    shown = {key: value for key, value in row.items() if value is not None}
    return {**shown, "containers": [{k: v for k, v in container.items() if v is not None}]}


def _phase(one: PodIncarnation) -> str:
    if one.ended:
        return "Succeeded" if one.ended == SUCCEEDED else "Failed"
    return "Running" if one.start else "Pending"
