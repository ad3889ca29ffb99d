"""Rules on the grace period: whether a save fits between SIGTERM and SIGKILL."""

from __future__ import annotations

import re

from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.rule import Hits, rule

#: The default of Kubernetes and Run:ai, seconds.
DEFAULT_GRACE = 30


def _grace(facts: Facts) -> int | None:
    grace = facts.number("termination_grace_period")
    if isinstance(grace, Unknown):
        return None
    return DEFAULT_GRACE if grace is None else grace


def needed_grace(save_seconds: float) -> float:
    """Return the grace period for a save: half its time as a margin, and 5 s to end the step."""
    return save_seconds * 1.5 + 5


@rule("grace-too-short", "error", "a save takes longer than the time between SIGTERM and SIGKILL")
def grace_too_short(facts: Facts) -> Hits:
    """Measured, or no time at all."""
    grace, took = _grace(facts), facts.subject.save_seconds
    # Without a measurement only a period of 0 s is certainly too short.
    if grace is None or grace > (took or 0.0):
        return
    reason = f"the longest save took {took:.1f} s" if took else "SIGKILL follows at once"
    yield (
        "spec.termination_grace_period",
        f"{grace} s of grace, but {reason}: a preemption loses what was done since the last "
        f"checkpoint; set at least {needed_grace(took or DEFAULT_GRACE / 2):.0f}",
    )


@rule("grace-tight", "warning", "a save fits the grace period only on a good day")
def grace_tight(facts: Facts) -> Hits:
    """Measured, with a margin of half the time and 5 s."""
    grace, took = _grace(facts), facts.subject.save_seconds
    if grace is not None and took and took < grace < needed_grace(took):
        yield (
            "spec.termination_grace_period",
            f"{grace} s of grace, and the longest save took {took:.1f} s; set at least "
            f"{needed_grace(took):.0f}",
        )


@rule(
    "grace-default", "info", "the grace period is not set, and the time of a save is not measured"
)
def grace_default(facts: Facts) -> Hits:
    """30 s are enough for small models only."""
    is_set = facts.number("termination_grace_period") is not None
    is_measured = facts.subject.save_seconds is not None
    if is_set or is_measured:
        return
    if facts.preemptible is True and not facts.subject.evaluates:
        yield (
            "spec.termination_grace_period",
            f"not set: {DEFAULT_GRACE} s from SIGTERM to SIGKILL; measure a save (save_seconds in "
            "the manifest) and set it",
        )


@rule("grace-mismatch", "warning", "the training expects another grace period than it gets")
def grace_mismatch(facts: Facts) -> Hits:
    """``PreemptionGuard`` reads it from there."""
    grace = _grace(facts)
    if grace is None:
        return
    for name in ("TERMINATION_GRACE_PERIOD_SECONDS", "RUNAI_GRACE_SECONDS"):
        # A shorter promise does no harm: the guard only stops earlier.
        expected = str(facts.known_part("environment").get(name))
        if re.fullmatch(r"\d+(\.\d*)?", expected) and float(expected) > grace:
            yield (
                f"spec.environment.{name}",
                f"{expected} s are promised, but SIGKILL comes after {grace} s; set "
                "termination_grace_period to the same",
            )
