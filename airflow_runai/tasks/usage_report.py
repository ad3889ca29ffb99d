"""What a workload cost, for the task's result, its log and the tab; never a reason to fail."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.outcome import SUCCEEDED, Outcome
from airflow_runai.core.saves import Saved
from airflow_runai.core.texts import cut
from airflow_runai.core.usage import best_interval, idle_share, resumed_from, runs, usage
from airflow_runai.hooks.runai import RunaiHook

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Saves:
    """
    The checkpoints of a workload.

    :param checkpoints: each with its time.
    :param seconds: what one save cost; ``None`` if it was not measured.
    :param is_whole: no other one has ever been there.
    """

    checkpoints: Sequence[Saved]
    seconds: float | None = None
    is_whole: bool = True


def usage_of(
    hook: RunaiHook, outcome: Outcome, gpus: Any, saves: Saves | None = None
) -> JsonObject | None:
    """
    Return what a workload cost, and log it.

    :param gpus: asked for, as the submission noted it; ``None`` if it is not known.
    :param saves: ``None`` where the task does not know its checkpoints.
    :return: ``None`` where nothing is known.
    """
    try:
        found = _accounted(outcome, gpus, saves)
        if found is not None and found["gpus"] and outcome.clocks.running:
            found["idle_share"] = _idle_share(hook, outcome)
    except Exception as error:
        log.warning("what %s cost is not known (%s)", outcome.name, cut(str(error)))
        return None
    if found is not None:
        log.info("usage of %s: %s", outcome.name, usage_words(found))
    return found


def _accounted(outcome: Outcome, gpus: Any, saves: Saves | None) -> JsonObject | None:
    timeline, clocks, now = outcome.timeline, outcome.clocks, outcome.ended_at
    count = float(gpus) if isinstance(gpus, (int, float)) else None
    lives = runs(timeline, now)
    went_on = resumed_from(saves.checkpoints, lives, saves.is_whole) if saves else None
    found = usage(timeline, clocks, now, count, went_on, _kept_until(outcome, saves))
    if found is None:
        return None
    advice = best_interval(saves.seconds if saves else None, clocks)
    return {
        **found.to_dict(),
        "running_seconds": round(clocks.running, 3),
        "idle_share": None,
        "checkpoint_interval": advice if advice is None else round(advice, 1),
    }


def _kept_until(outcome: Outcome, saves: Saves | None) -> float | None:
    if outcome.status == SUCCEEDED:
        return math.inf
    # Of an end that was no success, the next try keeps what its last checkpoint holds.
    return max((one.at for one in saves.checkpoints), default=0.0) if saves else None


def _idle_share(hook: RunaiHook, outcome: Outcome) -> float | None:
    """Ask the control plane once how busy the GPUs were."""
    made = runs(outcome.timeline, outcome.ended_at)
    if not made:
        return None
    try:
        samples = hook.run(
            hook.backend.gpu_utilization(outcome.workload(), made[0].start, outcome.ended_at)
        )
    except Exception as error:
        log.info("how busy the GPUs were is not known (%s)", cut(str(error)))
        return None
    share = idle_share(samples, made)
    return share if share is None else round(share, 3)


def usage_words(found: JsonMapping) -> str:
    """Return what :func:`usage_of` found, as a sentence of the log."""
    unit = "GPU" if found["gpus"] == 1 else "GPUs"
    words = f"{found['gpus']:g} {unit}, {_amount(found['waiting'])} waiting"
    words += f", {_amount(found['allocated'])} allocated"
    if found.get("useful") is not None:
        useful, lost = _amount(found["useful"]), _amount(found["lost"])
        words += f" ({useful} useful, {lost} lost to interruptions)"
    if found.get("idle_share") is not None:
        words += f"; idle {found['idle_share']:.0%} of {found['running_seconds'] / 3600:.1f} h"
    if found.get("checkpoint_interval") is not None:
        words += f"; least is lost with a checkpoint every {found['checkpoint_interval']:.0f} s"
    return words


def _amount(gpu_seconds: float) -> str:
    if gpu_seconds < 3600:
        return f"{gpu_seconds:.0f} GPU-seconds"
    return f"{gpu_seconds / 3600:.1f} GPU-hours"
