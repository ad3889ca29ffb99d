"""
The history annotation: incarnations that the cluster has forgotten, kept on the Job itself.

Pods of a preempted training vanish within a second, and with them all that a restarted triggerer
would need. What is read here is data of others: entries that make no sense are passed over, and
size is bounded in both directions, because KAI copies the annotation onto each PodGroup.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.kubernetes.endings import ENDS, FAILED, PREEMPTED
from airflow_runai.core.kubernetes.incarnations import PodIncarnation, failures, united
from airflow_runai.core.kubernetes.job_facts import LONGEST_HISTORY
from airflow_runai.core.kubernetes.objects import number, rows, word
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import epoch

#: Incarnations that are kept one by one; of older ones only numbers are left.
MANY_LIVES = 200
#: Characters of the platform's words that are kept of each.
_WORDS = 120
_LARGEST_COUNT = 10**6
_TEXTS = {"name": "pod", "node": "node", "reason": "reason", "by": "by", "words": "words"}


@dataclass(frozen=True, slots=True)
class TrainingHistory:
    """
    What is remembered of a training.

    :param lives: the newest incarnations, oldest first.
    :param until: when the newest of those was made of which only numbers are left; epoch seconds.
    :param interruptions: incarnations before that which ended without an end of their own.
    :param preemptions: those of them that the platform called preemptions.
    :param failures: failures before that, which the budget has paid.
    """

    lives: tuple[PodIncarnation, ...] = ()
    until: float = 0.0
    interruptions: int = 0
    preemptions: int = 0
    failures: int = 0

    @property
    def all_failures(self) -> int:
        """All failures that the author's budget pays."""
        return self.failures + failures(self.lives)

    def with_lives(self, lives: Iterable[PodIncarnation]) -> TrainingHistory:
        """Return the history that knows these incarnations, too, however often it is told them."""
        known = {one.uid for one in self.lives}
        new = (one for one in lives if one.made > self.until or one.uid in known)
        return _bounded(self, united(self.lives, new))


def read_history(text: str) -> TrainingHistory:
    """Read an annotation; whatever is not a history is an empty one."""
    if len(text) > LONGEST_HISTORY:
        return TrainingHistory()
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return TrainingHistory()
    lives = (one for row in rows(found, "lives") if (one := _life(row)))
    earlier = found.get("earlier") if isinstance(found, Mapping) else None
    kept = TrainingHistory(
        until=_time(earlier, "until") or 0.0,
        interruptions=_count(earlier, "interruptions"),
        preemptions=_count(earlier, "preemptions"),
        failures=_count(earlier, "failures"),
    )
    return kept.with_lives(lives)


def write_history(history: TrainingHistory) -> str:
    """Return the annotation's text: JSON, the same for the same history."""
    earlier = {
        "until": history.until,
        "interruptions": history.interruptions,
        "preemptions": history.preemptions,
        "failures": history.failures,
    }
    # Of a gang that is larger, what failed says most.
    said_first = sorted(history.lives, key=lambda one: one.ended != FAILED)[:MANY_LIVES]
    uids = {one.uid for one in said_first}
    lives = [one for one in history.lives if one.uid in uids]
    found: JsonObject = {"lives": [_entry(one) for one in lives]}
    if history.until:
        found["earlier"] = earlier
    return json.dumps(found, separators=(",", ":"), ensure_ascii=True)


def _bounded(history: TrainingHistory, lives: Sequence[PodIncarnation]) -> TrainingHistory:
    """Keep the newest incarnations, and count the others; of a set, whole attempts."""
    newest = max((one.attempt for one in lives), default=-1)
    excess = [one for one in lives if one.attempt < newest or (newest < 0 and one.ended)]
    excess = excess[: max(0, len(lives) - MANY_LIVES)]
    attempts = {one.attempt for one in excess if one.attempt >= 0}
    uids = {one.uid for one in excess}
    gone = [one for one in lives if one.uid in uids or one.attempt in attempts]
    uids |= {one.uid for one in gone}
    return TrainingHistory(
        lives=tuple(one for one in lives if one.uid not in uids),
        until=max([history.until, *(one.made for one in gone)]),
        interruptions=history.interruptions + sum(map(_is_interruption, gone)),
        preemptions=history.preemptions + sum(one.ended == PREEMPTED for one in gone),
        failures=history.failures + failures(gone),
    )


def _is_interruption(one: PodIncarnation) -> bool:
    return bool(one.ended) and one.start is not None and one.ended != FAILED


def _entry(one: PodIncarnation) -> JsonObject:
    texts = {key: cut(getattr(one, name), _WORDS) for name, key in _TEXTS.items()}
    attempt = None if one.attempt < 0 else one.attempt
    entry: JsonObject = {
        "uid": one.uid,
        **texts,
        "made": one.made,
        "start": one.start,
        "end": one.end,
        "exit": one.exit_code,
        "ended": one.ended,
        "attempt": attempt,
    }
    return {key: value for key, value in entry.items() if value not in (None, "")}


def _life(row: Mapping[str, Any]) -> PodIncarnation | None:
    uid, ended, made = word(row, "uid"), word(row, "ended"), _time(row, "made")
    if not uid or made is None or ended not in ("", *ENDS):
        return None
    code, attempt = number(row, "exit"), number(row, "attempt")
    return PodIncarnation(
        uid=uid,
        made=made,
        start=_time(row, "start"),
        end=_time(row, "end"),
        exit_code=code if code is not None and 0 <= code <= 255 else None,
        ended=ended,
        attempt=attempt if attempt is not None and 0 <= attempt <= _LARGEST_COUNT else -1,
        **{name: cut(word(row, key), _WORDS) for name, key in _TEXTS.items()},
    )


def _time(row: object, key: str) -> float | None:
    """Return a time that this module has written: a number."""
    value = row.get(key) if isinstance(row, Mapping) else None
    return epoch(value) if isinstance(value, (int, float)) else None


def _count(row: object, key: str) -> int:
    return min(max(0, number(row, key) or 0), _LARGEST_COUNT)
