"""
Read a container's log as a client asks for it.

Each line in the file begins with the time at which it came (:mod:`.shim`), and is given out with or
without it.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import IO

__all__ = ["Query", "read"]

FOLLOW_SECONDS = 0.05


@dataclass(frozen=True)
class Query:
    """
    What a client wants of a log.

    :param since: the first time stamp, as in the file; empty for all.
    :param tail: so many last lines; applied before ``since``, as in a kubelet.
    :param limit: bytes in all.
    """

    follow: bool = False
    previous: bool = False
    timestamps: bool = False
    since: str = ""
    tail: int | None = None
    limit: int | None = None

    @classmethod
    def of(cls, asked: Mapping[str, str]) -> Query:
        """
        Take the parameters that the API server sends on.

        :raises ValueError: if a number or a time is none.
        """
        return cls(
            follow=asked.get("follow") == "true",
            previous=asked.get("previous") == "true",
            timestamps=asked.get("timestamps") == "true",
            since=_since(asked),
            tail=int(asked["tailLines"]) if "tailLines" in asked else None,
            limit=int(asked["limitBytes"]) if "limitBytes" in asked else None,
        )


def read(log: Path, query: Query, runs: Callable[[], bool]) -> Iterator[bytes]:
    """
    Yield lines.

    :param runs: tells whether more may be written; a follower ends when not.
    """
    left = query.limit
    for line in _lines(log, query, runs):
        stamp, _, text = line.partition(b" ")
        if stamp.decode() < query.since:
            continue
        out = (line if query.timestamps else text)[:left]
        yield out
        if left is not None:
            left -= len(out)
            if left <= 0:
                return


def _lines(log: Path, query: Query, runs: Callable[[], bool]) -> Iterator[bytes]:
    if not log.exists():
        return
    with log.open("rb") as file:
        whole: Iterable[bytes] = _whole(file)
        yield from whole if query.tail is None else deque(whole, query.tail)
        more = query.follow
        while more:
            # Asked before the last look, so that nothing written in between is missed.
            more = runs()
            yield from _whole(file)
            if more:
                time.sleep(FOLLOW_SECONDS)


def _whole(file: IO[bytes]) -> Iterator[bytes]:
    while (line := file.readline()).endswith(b"\n"):
        yield line
    file.seek(-len(line), 1)


def _since(asked: Mapping[str, str]) -> str:
    if "sinceTime" in asked:
        return _stamp(datetime.fromisoformat(asked["sinceTime"].replace("Z", "+00:00")))
    if "sinceSeconds" in asked:
        return _stamp(datetime.now(timezone.utc) - timedelta(seconds=int(asked["sinceSeconds"])))
    return ""


def _stamp(when: datetime) -> str:
    return when.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
