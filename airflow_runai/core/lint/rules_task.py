"""Rules on the Airflow task around a training: its retries, its timeouts, how it waits and what a kill does."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.rule import rule

Hits = Iterator[tuple[str, str]]

#: How often Run:ai restarts what failed, where nobody says.
DEFAULT_BACKOFF = 6
#: (the one, the other): what the first measures is part of what the second measures.
_PART_OF = (
    ("interruption", "interrupted_total"),
    ("queue", "total"),
    ("starting", "total"),
    ("interruption", "total"),
    ("interrupted_total", "total"),
    ("running", "total"),
)


def _timeouts(facts: Facts) -> dict[str, float]:
    """Return the timeouts whose values are known; Jinja's texts count."""
    given = facts.subject.timeouts
    found: dict[str, float] = {}
    for clock, value in given.items() if isinstance(given, Mapping) else ():
        try:
            seconds = float(value) if isinstance(value, (str, int, float)) else math.nan
        except (ValueError, OverflowError):
            continue
        if seconds > 0:
            found[str(clock)] = seconds
    return found


@rule("backoff-times-retries", "warning", "restarts by Run:ai and retries by Airflow multiply")
def backoff_times_retries(facts: Facts) -> Hits:
    """A script with a slip in it starts (backoff + 1) × (retries + 1) times."""
    backoff, retries = facts.number("backoff_limit"), facts.subject.retries
    if isinstance(backoff, int) and backoff > 0 and retries:
        yield (
            "spec.backoff_limit",
            f"{backoff}, with retries={retries}: what fails at once starts {(backoff + 1) * (retries + 1)} times; set "
            "one of them to 0",
        )


@rule(
    "backoff-default",
    "info",
    "Run:ai's own restarts, 6 where nobody says, multiply with Airflow's retries",
)
def backoff_default(facts: Facts) -> Hits:
    """Templates and policies of the control plane may say something else."""
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
                f"{timeouts[part]:g} s, but {whole}, which includes it, ends the wait after {timeouts[whole]:g} s; raise "
                f"{whole} or lower {part}",
            )


@rule("timeout-keeps-workload", "warning", "a timeout ends the task, but not the workload")
def timeout_keeps_workload(facts: Facts) -> Hits:
    """Right for looking at it, expensive if nobody looks."""
    timeouts = facts.subject.timeouts
    if facts.subject.on_kill == "keep" and isinstance(timeouts, Mapping) and timeouts:
        yield (
            "on_kill",
            "'keep', with timeouts: when one is exceeded the task fails and the workload goes on using GPUs; take 'stop' "
            "or 'suspend'",
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
            "False: a worker slot is held for as long as the training takes; take the default, True",
        )


@rule("gpus-over-limit", "error", "it asks for more GPUs than its project may ever have")
def gpus_over_limit(facts: Facts) -> Hits:
    """It stays pending for ever, with the reason OverLimit."""
    gpus, limit = gpus_of(facts), facts.subject.gpu_limit
    if gpus is not None and limit is not None and gpus > limit >= 0:
        yield (
            "spec.compute",
            f"{gpus:g} GPUs in all, and the project's limit is {limit:g}: it would be pending for ever",
        )


@rule(
    "gpus-over-quota",
    "warning",
    "it cannot be preempted, and asks for more GPUs than its project is guaranteed",
)
def gpus_over_quota(facts: Facts) -> Hits:
    """What cannot be preempted gets nothing beyond the quota: NonPreemptibleOverQuota."""
    gpus, quota = gpus_of(facts), facts.subject.gpu_quota
    if facts.preemptible is False and gpus is not None and quota is not None and gpus > quota >= 0:
        yield (
            "spec.compute",
            f"{gpus:g} GPUs in all, non-preemptible, and the project's quota is {quota:g}: it would be pending until "
            "the quota grows; ask for less, or let it be preemptible",
        )


def gpus_of(facts: Facts) -> float | None:
    """Return the GPUs of all pods that run at once; ``None`` if they are not known."""
    if facts.spec and "raw" in facts.spec:
        return None
    each = _gpus_of_pod(facts.part("compute"))
    distributed, parallel = facts.part("distributed"), facts.number("parallelism")
    if (
        each is None
        or not facts.whole
        or isinstance(distributed, Unknown)
        or isinstance(parallel, Unknown)
    ):
        return None
    if not distributed:
        return each * (parallel or 1)
    workers, first = (
        _whole(distributed.get("workers", 1)),
        _gpus_of_master(distributed.get("master"), each),
    )
    return None if workers is None or first is None else each * workers + first


def _gpus_of_master(master: object, of_worker: float) -> float | None:
    """Return the GPUs of the first pod, which is as a worker where nothing else is said."""
    if master is None:
        return of_worker
    if not isinstance(master, Mapping) or "raw" in master:
        return None
    return _gpus_of_pod(master["compute"]) if "compute" in master else of_worker


def _gpus_of_pod(compute: object) -> float | None:
    if not isinstance(compute, Mapping) or compute.get("gpu_memory") is not None:
        return None
    portion = compute.get("gpu_portion")
    try:
        return float(portion) if portion is not None else _whole(compute.get("gpu_devices"))
    except (TypeError, ValueError):
        return None


def _whole(value: object) -> int | None:
    try:
        return int(value) if isinstance(value, (int, str)) else None
    except ValueError:
        return None


RULES = (
    backoff_times_retries,
    backoff_default,
    timeouts_contradict,
    timeout_keeps_workload,
    holds_worker_slot,
    gpus_over_limit,
    gpus_over_quota,
)
