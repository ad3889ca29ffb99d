"""
Cutting a connection in the middle of a call, which no ASGI server offers.

A protocol class that remembers its transports by the client's address is all it takes.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

Address = tuple[str, int]
_open: dict[Address, asyncio.Transport] = {}


class CuttableProtocol(H11Protocol):
    """An HTTP connection that can be cut from inside a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember the transport."""
        super().connection_made(transport)
        if self.client is not None:
            _open[self.client] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport."""
        if self.client is not None:
            _open.pop(self.client, None)
        super().connection_lost(exc)


def cut(client: Address | None, reset: bool) -> None:
    """
    Close the connection of a client without an answer.

    :param reset: send a reset instead of an orderly end.
    """
    transport = _open.get(client) if client else None
    if transport is None:
        return
    if reset:
        door = transport.get_extra_info("socket")
        door.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
