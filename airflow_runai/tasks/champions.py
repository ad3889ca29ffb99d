"""The champion, as tasks and commands read, change and show it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_runai.core.champions import rollback_target, same
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.errors import (
    CheckpointUnreadable,
    InvalidArgument,
    NoValidCheckpoint,
)
from airflow_runai.tasks.checkpoint_result import reasons
from airflow_runai.tasks.locations import location, small_file
from airflow_runai.tasks.storage_errors import storage_errors

if TYPE_CHECKING:
    from airflow_runai.checkpoints.keeping.champion_history import ChampionHistory

#: What the event of an asset tells of a champion; ``run`` is the one that has promoted it.
IN_EVENTS = ("uri", "step", "digest", "metrics", "run")
_REMEMBERED = ("uri", "path", "step", "digest", "metrics", "promoted_at", "run", "number")


@contextmanager
def champions_of(
    path: str, path_map: Mapping[str, str] | None, storage_conn_id: str | None
) -> Iterator[ChampionHistory]:
    """
    Open the history of a pointer; the parameters are those of ``location``.

    :raises NoValidCheckpoint: in the block, for what is no pointer, and where the storage cannot
        tell two promotions apart.
    :raises CheckpointUnreadable: in the block, if the storage fails.
    """
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.keeping.champion_history import ChampionHistory
    from airflow_runai.checkpoints.storage.directory_handle import WrongKind

    pointer = small_file(path, path_map, storage_conn_id)
    advice = (
        "two promotions at once could both win there, so nothing was promoted; put the champion"
    )
    with storage_errors(pointer, storage_conn_id, advice, wrong=(ValueError, WrongKind)):
        yield ChampionHistory(pointer)


def remembered(champion: JsonMapping | None) -> JsonObject | None:
    """Return what a pointer keeps of the previous champion; not its own predecessors."""
    return {key: champion.get(key) for key in _REMEMBERED} if champion else None


def roll_back(
    history: ChampionHistory,
    to: int | None,
    by: JsonObject | None,
    check: Callable[[JsonMapping], None],
) -> JsonObject:
    """
    Make an earlier champion the champion again, as a new entry of the history.

    :param to: its number; default: the one before the present champion.
    :param by: names who asks; whoever asked before gets what was done then, and nothing changes.
    :param check: raises for a checkpoint that cannot become champion again.
    :raises InvalidArgument: if there is no such champion.
    :raises PromotionRefused: if another one was promoted at the same time.
    """
    present = history.present()
    if present is None:
        raise InvalidArgument(
            [f"{history.pointer}: nothing was ever promoted; nothing to go back to"]
        )
    entries, _ = history.entries()
    history.settle()
    number = rollback_target(entries, present, to) if to is not None else None
    if done := _rolled_back(entries, number, by):
        return done
    target = entries.get(number if number is not None else rollback_target(entries, present, to))
    if target is None:
        raise InvalidArgument([f"to: {to!r} leads to a promotion that is not in the history now"])
    if same(target, present):
        return present
    check(target)
    rollback = {"to": _number(target), "from": _number(present), "by": by}
    again = {**target, "promoted_at": time.time(), "previous": remembered(present)}
    return history.append({**again, "rollback": rollback}, present)


def _rolled_back(
    entries: Mapping[int, JsonMapping], to: int | None, by: JsonObject | None
) -> JsonObject | None:
    """Return what was done when the same task of the same run last asked, if it asked the same."""
    asked = (entry for entry in entries.values() if (entry.get("rollback") or {}).get("by") == by)
    last = max(asked, key=_number, default=None) if by is not None else None
    return dict(last) if last and to in (None, last["rollback"].get("to")) else None


def check_again(champion: JsonMapping, level: int, storage_conn_id: str | None) -> None:
    """
    Find out whether a champion's checkpoint is still there, and what it was.

    :param level: how deep to look; its digest is compared from 2 on.
    :raises NoValidCheckpoint: if not.
    :raises CheckpointUnreadable: if it cannot be read now.
    """
    from airflow_runai.checkpoints import Verdict, check

    uri, digest = str(champion["uri"]), champion.get("digest")
    report = check(location(uri, None, storage_conn_id), level=level)
    if not report.accepted(accept_unverifiable=True):
        kind = CheckpointUnreadable if report.verdict == Verdict.UNKNOWN else NoValidCheckpoint
        raise kind(f"{uri}: cannot be the champion again: {reasons(report)}")
    if digest and report.digest and report.digest != digest:
        raise NoValidCheckpoint(
            f"{uri}: is not what was promoted: its digest is {report.digest}, it was {digest}"
        )


def _number(champion: JsonMapping) -> int:
    return int(champion.get("number", 0))
