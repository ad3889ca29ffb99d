"""The three answers to a question about a training, each with its reason and what to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

AnswerVerdict = Literal["pass", "fail", "unknown"]


class Answer(NamedTuple):
    """
    One answer.

    :param reason: one sentence with the numbers.
    :param advice: what to do; empty if there is nothing to do.
    """

    verdict: AnswerVerdict
    reason: str
    advice: str = ""


@dataclass(frozen=True)
class Check:
    """A question with its answer; programs may match on ``name``, which does not change."""

    name: str
    question: str
    verdict: AnswerVerdict
    reason: str
    advice: str = ""


def passes(reason: str) -> Answer:
    """Return that the training does this right."""
    return Answer("pass", reason)


def fails(reason: str, advice: str) -> Answer:
    """Return that the training does this wrong."""
    return Answer("fail", reason, advice)


def unknown(reason: str, advice: str = "") -> Answer:
    """Return that the drill could not decide."""
    return Answer("unknown", reason, advice)
