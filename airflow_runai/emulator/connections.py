"""
Connections that can be cut in the middle of a call, which no ASGI server offers.

It takes only a protocol class that remembers its transports by the client's address.
"""

from __future__ import annotations

import asyncio
import socket
import struct

from uvicorn.protocols.http.h11_impl import H11Protocol

# Both ends: one client port may talk to two emulators in this process.
Ends = tuple[object, object]
_open: dict[Ends, asyncio.Transport] = {}


class CuttableProtocol(H11Protocol):
    """An HTTP connection that can be cut from inside a request."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Remember the transport."""
        super().connection_made(transport)
        _open[self.client, self.server] = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the transport."""
        _open.pop((self.client, self.server), None)
        super().connection_lost(exc)


def cut(client: object, server: object, reset: bool) -> None:
    """
    Close the connection between two addresses, as an ASGI scope names them, without an answer.

    :param reset: send a reset instead of an orderly end.
    """
    transport = _open.get((client, server))
    # The client was faster and has closed it.
    if transport is None:
        return
    if reset:
        connection = transport.get_extra_info("socket")
        # To linger for 0 seconds means to send a reset.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
