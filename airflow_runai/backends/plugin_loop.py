"""
Runs code that may start a plug-in of a kubeconfig, and leaves none behind.

Nobody is there whom a plug-in could ask. Its input is empty, and when the code that started it is
done, or has taken too long, it is killed.
"""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Coroutine
from contextlib import closing
from typing import Any, TypeVar

T = TypeVar("T")

#: Seconds between looks at a process that was killed, and how many looks it gets.
_LOOK, _LOOKS = 0.01, 200


class PluginLoop(asyncio.SelectorEventLoop):
    """An event loop that knows its processes."""

    def __init__(self) -> None:
        super().__init__()
        self._started: list[asyncio.SubprocessTransport] = []

    async def subprocess_exec(
        self, protocol_factory: Any, *arguments: Any, **options: Any
    ) -> tuple[Any, Any]:
        """Start a process as any loop does, but with an empty input."""
        options["stdin"] = subprocess.DEVNULL
        started = await super().subprocess_exec(protocol_factory, *arguments, **options)
        self._started.append(started[0])
        return started

    async def kill_all(self) -> None:
        """End what still runs."""
        for process in self._started:
            process.close()
        for _ in range(_LOOKS):
            if all(process.get_returncode() is not None for process in self._started):
                return
            await asyncio.sleep(_LOOK)


def run(work: Coroutine[Any, Any, T], timeout: float) -> T:
    """
    Return what ``work`` returns; blocks.

    :param timeout: seconds.
    :raises TimeoutError: after that time; on Python 3.10, ``asyncio.TimeoutError``.
    """
    with closing(PluginLoop()) as loop:
        try:
            return loop.run_until_complete(asyncio.wait_for(work, timeout))
        finally:
            loop.run_until_complete(loop.kill_all())
            loop.run_until_complete(loop.shutdown_asyncgens())
