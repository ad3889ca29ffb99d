"""What the pods of a stepped world say, and the stream of it while the world's time passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timezone

import httpx

#: Seconds of a world's time between two looks for more.
BREATH = 0.5


@dataclass
class PodLines:
    """
    What a pod says: who it is, and each second of work as it is done.

    :param began: epoch seconds.
    :param done: seconds of work before it.
    :param most: seconds of work that there are.
    :param until: epoch seconds; ``None`` while it speaks.
    """

    first: str
    began: float
    done: float
    most: float
    until: float | None = None

    def text(self, now: float) -> str:
        """Return it up to a moment, each line with its time."""
        end = now if self.until is None else min(now, self.until)
        steps = range(int(self.done) + 1, int(min(self.done + end - self.began, self.most)) + 1)
        lines = [(self.began, self.first)]
        lines += [(self.began + step - self.done, f"step {step}") for step in steps]
        return "".join(f"{_stamp(at)} {line}\n" for at, line in lines)


class GrowingBody(httpx.SyncByteStream, httpx.AsyncByteStream):
    """
    A text as it grows.

    :param tell: returns it, and whether it is complete.
    :param pass_time: lets so many seconds pass.
    """

    def __init__(
        self, tell: Callable[[], tuple[str, bool]], pass_time: Callable[[float], object]
    ) -> None:
        self._tell, self._pass_time = tell, pass_time

    def _pieces(self) -> Iterator[bytes]:
        sent, is_complete = 0, False
        while not is_complete:
            text, is_complete = self._tell()
            yield text.encode()[sent:]
            sent = len(text.encode())

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces():
            yield piece
            self._pass_time(BREATH)

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces():
            yield piece
            # What happens meanwhile talks to the platform, too, and blocks.
            await asyncio.to_thread(self._pass_time, BREATH)


def _stamp(moment: float) -> str:
    return (
        datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="microseconds")[:-6] + "Z"
    )
