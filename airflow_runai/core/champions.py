"""
Which checkpoint may become the champion, and to which one a rollback leads.

A champion is the content of its pointer, or of an entry of its history: ``uri``, ``step``,
``digest``, ``metrics``, ``number``, ``run`` and more. An entry that a rollback made has the key
``rollback``, whose ``to`` is the number of the promotion that counts again.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.texts import TEXT_LIMIT, cut
from airflow_runai.errors import InvalidArgument, PromotionRefused

_IDENTITY = ("uri", "step", "digest")
_FORCE = "set allow_older=True to promote it nevertheless"


def identity(champion: JsonMapping) -> JsonObject:
    """Return what tells a checkpoint from another one, in whatever run it became champion."""
    return {key: champion.get(key) for key in _IDENTITY}


def same(one: JsonMapping | None, other: JsonMapping | None) -> bool:
    """Whether both are the same checkpoint, or both are none."""
    if one is None or other is None:
        return one is other
    return identity(one) == identity(other)


def refuse_changed(judged_against: JsonMapping | None, champion: JsonMapping | None) -> None:
    """
    Refuse a checkpoint that was compared with a champion that is none any more.

    :param judged_against: the champion of the evaluation; ``None`` if there was none yet.
    :raises PromotionRefused: unless it is the champion still.
    """
    if not same(judged_against, champion):
        raise PromotionRefused(
            f"evaluation: judged against {_name(judged_against)}, but {_name(champion)} is the "
            "champion now; evaluate again"
        )


def refuse_older(
    challenger: JsonMapping, champion: JsonMapping | None, history: Mapping[int, JsonMapping]
) -> None:
    """
    Refuse to go back: to a checkpoint that was replaced, or to one of an older DAG run.

    :raises PromotionRefused: saying what to do.
    """
    for number, before in sorted(history.items(), reverse=True):
        if same(challenger, before):
            raise PromotionRefused(
                f"evaluation: {_name(challenger)} was the champion before (number {number}) and "
                f"{_name(champion)} has replaced it; roll back to number {number}, or {_FORCE}"
            )
    ours, theirs = _run_after(challenger), _run_after(champion or {})
    if ours is not None and theirs is not None and ours < theirs:
        raise PromotionRefused(
            f"evaluation: its DAG run is of {shown_date(ours)}, older than that of the champion "
            f"{_name(champion)} ({shown_date(theirs)}); {_FORCE}"
        )


def rollback_target(
    history: Mapping[int, JsonMapping], champion: JsonMapping, to: int | None
) -> int:
    """
    Return the number of the promotion to which a rollback leads.

    Without ``to``, that is the champion before this one. A rollback is no promotion of its own: the
    one before it is the one before the promotion that it led to.

    :param to: a number in the history.
    :raises InvalidArgument: if there is no such promotion, or none that is left.
    """
    if to is None:
        number = _promotion(champion) - 1
        missing = f"there is no champion before {_name(champion)}"
    else:
        number, missing = to, f"to: {to!r}"
    if number not in history:
        known = ", ".join(map(str, sorted(history))) or "nothing"
        raise InvalidArgument([f"{missing}; the history has: {known}"])
    return _promotion(history[number])


def _promotion(champion: JsonMapping) -> int:
    """Return the number under which a checkpoint was promoted, before any rollback to it."""
    rollback = champion.get("rollback")
    number = rollback.get("to") if isinstance(rollback, Mapping) else champion.get("number", 0)
    return number if type(number) is int else -1


def _run_after(champion: JsonMapping) -> float | None:
    run: Any = champion.get("run") or {}
    value = run.get("run_after")
    return value if type(value) in (int, float) else None


def shown_date(seconds: float) -> str:
    """Return a time in UTC as text, to the second; of one that no calendar has, the number."""
    try:
        return datetime.fromtimestamp(seconds, timezone.utc).isoformat(sep=" ", timespec="seconds")
    except (ValueError, OverflowError, OSError):
        return f"{seconds:g}"


def _name(champion: JsonMapping | None) -> str:
    return cut(str(champion.get("uri")), TEXT_LIMIT) if champion else "no champion"
