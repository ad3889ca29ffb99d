"""The three answers to a question about a training, each with its reason and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

Verdict = Literal["pass", "fail", "unknown"]


class Answer(NamedTuple):
    """
    One answer.

    :param reason: one sentence with the numbers.
    :param advice: what to do; empty if there is nothing to do.
    """

    verdict: Verdict
    reason: str
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """A question with its answer; ``name`` is stable, to be matched on."""

    name: str
    question: str
    verdict: Verdict
    reason: str
    advice: str = ""


def plural(number: int, noun: str) -> str:
    """Say how many of something: ``1 start``, ``2 starts``."""
    return f"{number} {noun}{'s' * (number != 1)}"


def passes(reason: str) -> Answer:
    """All is well."""
    return Answer("pass", reason)


def fails(reason: str, advice: str) -> Answer:
    """It will not survive so."""
    return Answer("fail", reason, advice)


def unknown(reason: str, advice: str = "") -> Answer:
    """Nobody can tell from what was seen."""
    return Answer("unknown", reason, advice)
