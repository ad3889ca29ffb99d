"""Starting the parts of a cluster side by side, and knowing when each works or why it does not."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from tests.rig.parts import Part
from tests.rig.processes import Processes
from tests.rig.waiting import RigError

__all__ = ["PortTaken", "Starter"]

#: A part that is not ready and has said nothing for so long hangs. A busy machine makes a part
#: slow, not silent.
SILENCE = 60.0
SECONDS_PER_LOOK = 0.03


class PortTaken(RigError):
    """Somebody took a port between its choice and its use."""


class Starter:
    """
    Starts the parts of one cluster.

    :param silence: seconds without a word after which a part that is not ready is given up.
    """

    def __init__(self, processes: Processes, silence: float = SILENCE) -> None:
        self._processes, self._silence = processes, silence
        # A question asked on loopback to a process that we started: there is nothing to check a
        # certificate for.
        self._http = httpx.Client(verify=False, timeout=5, trust_env=False)

    def start(self, *parts: Part) -> None:
        """
        Start parts and wait until all of them work.

        :raises RigError: if one ends or falls silent; the message holds its last words.
        """
        waits = [self.begin(part) for part in parts]
        for wait in waits:
            wait()

    def begin(self, part: Part) -> Callable[[], None]:
        """Start a part and return what waits for it."""
        log = self._processes.log(part.name)
        offset = log.stat().st_size if log.exists() else 0
        try:
            self._processes.start(part.name, part.command, part.environment)
        except OSError as error:
            raise RigError(
                f"{part.name}: {part.command[0]} cannot be run: {error.strerror}"
            ) from None
        return lambda: self._await(part, offset)

    def _await(self, part: Part, offset: int) -> None:
        said, since = offset, time.monotonic()
        while not self._works(part, offset):
            if self._processes.find(part.name) is None:
                raise self._ended(part.name)
            size = self._processes.log(part.name).stat().st_size
            if size > said:
                said, since = size, time.monotonic()
            if time.monotonic() - since > self._silence:
                raise RigError(
                    f"{part.name} is not ready and silent. Its last words:\n{self._words(part.name)}"
                )
            time.sleep(SECONDS_PER_LOOK)

    def _works(self, part: Part, offset: int) -> bool:
        if part.says:
            with self._processes.log(part.name).open("rb") as log:
                log.seek(offset)
                return part.says in log.read().decode(errors="replace").splitlines()
        try:
            return self._http.get(part.ready).status_code == 200
        except httpx.HTTPError:
            return False

    def _ended(self, name: str) -> RigError:
        words = self._words(name)
        if "address already in use" in words.lower():
            return PortTaken(
                f"{name}: its port was taken between choice and use. Its last words:\n{words}"
            )
        return RigError(f"{name} ended before it was ready. Its last words:\n{words}")

    def _words(self, name: str) -> str:
        return self._processes.last_words(name) or "(none)"
