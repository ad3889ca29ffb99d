"""
Verdicts of a training's newest checkpoints, for the tab.

By their structure: to read every byte is left to the task that selects one.
"""

from __future__ import annotations

import time
from functools import partial

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.saves import Saved
from airflow_runai.tasks.checkpoint_root import CheckpointRoot
from airflow_runai.tasks.locations import location
from airflow_runai.tasks.step_readers import GIVEN_UP, read_here

#: So many of the newest are judged, and none is begun after so many seconds.
NEWEST, SECONDS = 20, GIVEN_UP / 2
#: Of a check: only the structure.
LEVEL = 1


def with_verdicts(news: JsonObject, root: CheckpointRoot | None) -> JsonObject:
    """
    Return news of a workload whose marks have verdicts, as far as they can be had; never raises.

    :param root: where the checkpoints are; ``None`` if that is not known.
    """
    progress = news.get("progress")
    if root is None or not progress or not progress["checkpoints"]:
        return news
    verdicts = read_here(partial(_verdicts, root)) or {}
    marks = [_judged(mark, verdicts) for mark in progress["checkpoints"]]
    return {**news, "progress": {**progress, "checkpoints": marks}}


def _judged(mark: JsonObject, verdicts: dict[Saved, str]) -> JsonObject:
    verdict = verdicts.get(Saved(mark["step"], mark["at"]))
    return mark if verdict is None else {**mark, "verdict": verdict, "level": LEVEL}


def _verdicts(root: CheckpointRoot) -> dict[Saved, str]:
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.choosing.roots import candidates
    from airflow_runai.checkpoints.choosing.verification import check

    until = time.monotonic() + SECONDS
    found: dict[Saved, str] = {}
    for one in candidates(location(root.path, root.path_map, root.storage_conn_id))[:NEWEST]:
        if time.monotonic() > until:
            break
        if one.step is not None:
            found[Saved(one.step, one.mtime)] = check(one.path, level=LEVEL).verdict.value
    return found
