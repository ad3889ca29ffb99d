"""A StatsD server that remembers what it was sent."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager


class Statsd:
    """
    A UDP socket.

    It is read when somebody asks; Airflow sends it only what is ours, so nothing is lost.
    """

    def __init__(self, door: socket.socket) -> None:
        self._door = door
        self._counts: Counter[str] = Counter()

    @property
    def settings(self) -> dict[str, str]:
        """Airflow's configuration for it."""
        options = {
            "statsd_on": "True",
            "statsd_host": "127.0.0.1",
            "statsd_port": str(self._door.getsockname()[1]),
            "metrics_allow_list": "runai",
        }
        return {f"AIRFLOW__METRICS__{name}".upper(): value for name, value in options.items()}

    def counts(self) -> Counter[str]:
        """What the counters have come to, by name without Airflow's prefix."""
        while datagram := self._received():
            name, _, value = datagram.partition(":")
            number, _, kind = value.partition("|")
            if kind == "c":
                self._counts[name.removeprefix("airflow.")] += int(number)
        return Counter(self._counts)

    def _received(self) -> str:
        try:
            return self._door.recv(4096).decode()
        except BlockingIOError:
            return ""


@contextmanager
def listening() -> Iterator[Statsd]:
    """Listen at a free port of this machine."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as door:
        door.bind(("127.0.0.1", 0))
        door.setblocking(False)
        yield Statsd(door)
