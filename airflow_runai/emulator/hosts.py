"""
Keeps other people's web pages away from an emulator that only listens on this machine.

A page whose domain name suddenly points to 127.0.0.1 (DNS rebinding) is, to the browser, of the same origin as the
emulator, and the local default secret is public: it could log in and run commands. Such requests betray themselves by
their ``Host`` header, so only names that can mean nothing but this machine pass. Elsewhere than on loopback, where the
emulator has a secret of its own and any name may be right, this is not used.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class LoopbackHosts:
    """
    Answers 421 to requests for any host but this machine; the port does not matter, it may be forwarded.

    :param app: who answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        host = Headers(scope=scope).get("host", "")
        if names_this_machine(host):
            await self._app(scope, receive, send)
            return
        details = f"Host: {host[:100]!r} is not this machine; use 127.0.0.1, [::1] or localhost"
        await JSONResponse({"code": 421, "message": "misdirected request", "details": details}, 421)(
            scope, receive, send
        )


def names_this_machine(host: str) -> bool:
    """Say whether a ``Host`` header (name or address, with or without port) can only mean this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
