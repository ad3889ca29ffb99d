"""Rules on the Airflow task around a training: retries, timeouts, waiting, and a kill."""

from __future__ import annotations

import math
from collections.abc import Mapping

from airflow_runai.core.lint.facts import Facts
from airflow_runai.core.lint.rule import Hits, rule
from airflow_runai.core.quota import gpus_requested
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError

#: Run:ai's own number of restarts after failures.
DEFAULT_BACKOFF = 6
#: Pairs of clocks: the time that the first measures is part of the second's.
_PART_OF = (
    ("interruption", "interrupted_total"),
    ("queue", "total"),
    ("starting", "total"),
    ("interruption", "total"),
    ("interrupted_total", "total"),
    ("running", "total"),
)


def _timeouts(facts: Facts) -> dict[str, float]:
    """Return the timeouts whose values are known, rendered texts included."""
    timeouts = facts.subject.timeouts
    if not isinstance(timeouts, Mapping):
        return {}
    seconds = {str(clock): _number(value) for clock, value in timeouts.items()}
    return {clock: value for clock, value in seconds.items() if value > 0}


def _number(value: object) -> float:
    try:
        return float(value) if isinstance(value, (str, int, float)) else math.nan
    except (ValueError, OverflowError):
        return math.nan


@rule("backoff-times-retries", "warning", "restarts by Run:ai and retries by Airflow multiply")
def backoff_times_retries(facts: Facts) -> Hits:
    """A script with a slip in it starts (backoff + 1) × (retries + 1) times."""
    backoff, retries = facts.number("backoff_limit"), facts.subject.retries
    if isinstance(backoff, int) and backoff > 0 and retries:
        yield (
            "spec.backoff_limit",
            f"{backoff}, with retries={retries}: what fails at once starts "
            f"{(backoff + 1) * (retries + 1)} times; set one of them to 0",
        )


@rule(
    "backoff-default",
    "info",
    "Run:ai's own restarts, 6 by default, multiply with Airflow's retries",
)
def backoff_default(facts: Facts) -> Hits:
    """Templates and policies of the control plane may set another default."""
    retries = facts.subject.retries
    if facts.number("backoff_limit") is None and retries:
        yield (
            "spec.backoff_limit",
            f"not set, so {DEFAULT_BACKOFF}, with retries={retries}: what fails at once starts "
            f"{(DEFAULT_BACKOFF + 1) * (retries + 1)} times; set it",
        )


@rule(
    "timeouts-contradict",
    "warning",
    "a timeout that can never be reached, because another one is reached before",
)
def timeouts_contradict(facts: Facts) -> Hits:
    """A part that may last longer than the whole."""
    timeouts = _timeouts(facts)
    for part, whole in _PART_OF:
        if part in timeouts and whole in timeouts and timeouts[part] > timeouts[whole]:
            yield (
                f"timeouts.{part}",
                f"{timeouts[part]:g} s, but {whole}, which includes it, ends the wait after "
                f"{timeouts[whole]:g} s; raise {whole} or lower {part}",
            )


@rule("timeout-keeps-workload", "warning", "a timeout ends the task, but not the workload")
def timeout_keeps_workload(facts: Facts) -> Hits:
    """Right for looking at it, expensive if no one does."""
    timeouts = facts.subject.timeouts
    if facts.subject.on_kill == "keep" and isinstance(timeouts, Mapping) and timeouts:
        yield (
            "on_kill",
            "'keep', with timeouts: when one is exceeded the task fails and the workload goes on "
            "using GPUs; take 'stop' or 'suspend'",
        )


@rule(
    "holds-worker-slot",
    "info",
    "the task holds a worker slot while it queues and while it is preempted",
)
def holds_worker_slot(facts: Facts) -> Hits:
    """Fine for minutes, not for weeks."""
    if facts.subject.deferrable is False:
        yield (
            "deferrable",
            "False: a worker slot is held for as long as the training takes; take the default, "
            "True",
        )


@rule("gpus-over-limit", "error", "it asks for more GPUs than its project may ever have")
def gpus_over_limit(facts: Facts) -> Hits:
    """It stays pending for ever, with the reason OverLimit."""
    gpus, limit = _gpus_requested(facts), facts.subject.gpu_limit
    # -1 stands for no limit.
    if gpus is not None and limit is not None and gpus > limit >= 0:
        yield (
            "spec.compute",
            f"{gpus:g} GPUs in all, and the project's limit is {limit:g}: it would be pending for "
            "ever",
        )


@rule(
    "gpus-over-quota",
    "warning",
    "it cannot be preempted, and asks for more GPUs than its project is guaranteed",
)
def gpus_over_quota(facts: Facts) -> Hits:
    """What cannot be preempted gets nothing beyond the quota: NonPreemptibleOverQuota."""
    gpus, quota = _gpus_requested(facts), facts.subject.gpu_quota
    if facts.preemptible is False and gpus is not None and quota is not None and gpus > quota >= 0:
        yield (
            "spec.compute",
            f"{gpus:g} GPUs in all, non-preemptible, and the project's quota is {quota:g}: it "
            "would be pending until the quota grows; ask for less, or let it be preemptible",
        )


def _gpus_requested(facts: Facts) -> float | None:
    """Return the GPUs of all pods that run at once; ``None`` if they are not known."""
    spec = facts.spec
    # raw may set any of the counts in the server's spelling.
    if spec is None or not facts.whole or "raw" in spec:
        return None
    sizes = {key: spec[key] for key in ("distributed", "parallelism") if key in spec}
    compute = spec.get("compute")
    if isinstance(compute, Mapping):  # the rest of it may still be templated
        sizes["compute"] = {key: value for key, value in compute.items() if key.startswith("gpu")}
    try:
        return gpus_requested(WorkloadSpec.from_mapping({"image": "any", **sizes}))
    except SpecError:
        return None
