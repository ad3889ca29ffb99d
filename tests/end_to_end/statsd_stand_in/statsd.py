"""
Stands for the package ``statsd``, as far as Airflow uses it: a call is one datagram.

It is in the path of the tests' Airflow only. What Airflow does before and behind it is real.
"""

from __future__ import annotations

import socket


class StatsClient:
    """Sends to a StatsD server, and never waits for it."""

    def __init__(self, host: str, port: int, prefix: str | None, ipv6: bool = False) -> None:
        family = socket.AF_INET6 if ipv6 else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        self._address = (host, port)
        self._prefix = f"{prefix}." if prefix else ""

    def incr(self, stat: str, count: int = 1, rate: float = 1) -> None:
        self._send(stat, f"{count}|c")

    def decr(self, stat: str, count: int = 1, rate: float = 1) -> None:
        self._send(stat, f"{-count}|c")

    def gauge(self, stat: str, value: float, rate: float = 1, delta: bool = False) -> None:
        self._send(stat, f"{value}|g")

    def timing(self, stat: str, delta: float, rate: float = 1) -> None:
        self._send(stat, f"{delta}|ms")

    def _send(self, stat: str, value: str) -> None:
        self._socket.sendto(f"{self._prefix}{stat}:{value}".encode(), self._address)
