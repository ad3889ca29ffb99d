"""Makes a failing history short: leaves out, calms and rounds whatever is not needed to break the same promise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from typing import Any

from tests.simulation.history import Act, Cluster, History, Life, Machinery, Platform, Task
from tests.simulation.invariants import judge
from tests.simulation.simulation import play

#: How often each way of shrinking is tried anew, because one success makes room for others.
ROUNDS = 4


def shrink(history: History, kind: str) -> History:
    """
    Return a short history that breaks the same promise.

    :param kind: class of the violation to keep.
    """
    breaks = _breaks(kind)
    for _ in range(ROUNDS):
        before = history
        for way in (_fewer, _calmer, _rounder):
            history = _follow(history, way, breaks)
        if history == before:
            break
    return history


def _breaks(kind: str) -> Callable[[History], bool]:
    return lambda history: any(violation.kind == kind for violation in judge(play(history)))


def _follow(
    history: History, way: Callable[[History], Iterator[History]], breaks: Callable[[History], bool]
) -> History:
    """Take the first step of a way that works, as long as there is one."""
    while True:
        shorter = next((step for step in way(history) if step != history and breaks(step)), None)
        if shorter is None:
            return history
        history = shorter


def _fewer(history: History) -> Iterator[History]:
    for name in ("acts", "troubles", "lives"):
        entries = getattr(history, name)
        for index in range(len(entries)):
            kept = entries[:index] + entries[index + 1 :]
            if kept or name != "lives":
                yield replace(history, **{name: kept})


def _calmer(history: History) -> Iterator[History]:
    calm_ones: dict[str, Any] = {"task": Task(), "platform": Platform(), "machinery": Machinery()}
    if history.cluster:
        calm_ones["cluster"] = Cluster()
    for name, calm in calm_ones.items():
        part: Any = getattr(history, name)
        for item in fields(part):
            if getattr(part, item.name) != getattr(calm, item.name):
                yield replace(
                    history, **{name: replace(part, **{item.name: getattr(calm, item.name)})}
                )
    for index, life in enumerate(history.lives):
        for calmer in (
            Life(),
            Life(((5.0, 2000.0),)),
            replace(life, stretches=life.stretches[-1:]),
        ):
            if len(calmer.stretches) <= len(life.stretches) and life not in (Life(), calmer):
                yield replace(
                    history, lives=(*history.lives[:index], calmer, *history.lives[index + 1 :])
                )


def _rounder(history: History) -> Iterator[History]:
    for index, act in enumerate(history.acts):
        for rounder in _rounded(act):
            yield replace(
                history, acts=(*history.acts[:index], rounder, *history.acts[index + 1 :])
            )


def _rounded(act: Act) -> Iterator[Act]:
    for digits in (-1, 0, 1):
        cue = replace(act.cue, seconds=round(act.cue.seconds, digits))
        for better in (replace(act, cue=cue), replace(act, seconds=round(act.seconds, digits))):
            if len(repr(better)) < len(repr(act)):
                yield better
