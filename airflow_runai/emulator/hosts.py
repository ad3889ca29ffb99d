"""
Keeps other people's web pages away from an emulator whose secret is public.

A page whose domain name suddenly points here (DNS rebinding) is, to the browser, of the same origin
as the emulator, and the local default secret is known to everybody: it could log in and run
commands. Such requests betray themselves by their ``Host`` header, because only a registered domain
can be rebound: it always has a dot. Addresses and names without a dot (``localhost``, a service of
Docker Compose) are nobody's to rebind. Where a secret of one's own protects an emulator that
listens to the network, any name may be right, and this is not used.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_runai.emulator.settings import DEFAULT_CLIENT_SECRET, EmulatorSettings


class HostCheckMiddleware:
    """
    Answers 421 to requests for a host name with a dot; the port does not matter, it may be forwarded.

    :param app: who answers the others.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        host = Headers(scope=scope).get("host", "")
        answer = self._app if _is_nobodys_domain(host) else _refusal(host)
        await answer(scope, receive, send)


def needs_host_check(settings: EmulatorSettings) -> bool:
    """Say whether only :class:`HostCheckMiddleware` stands between a website and a log-in."""
    try:
        local = settings.host == "localhost" or ipaddress.ip_address(settings.host).is_loopback
    except ValueError:
        local = False
    return local or settings.secret == DEFAULT_CLIENT_SECRET


def _is_nobodys_domain(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        ipaddress.ip_address(name)
    except ValueError:
        return "." not in host and bool(host)
    return True


def _refusal(host: str) -> JSONResponse:
    details = f"Host: {host[:100]!r} is a domain name; use 127.0.0.1, localhost or another address of this machine"
    return JSONResponse({"code": 421, "message": "misdirected request", "details": details}, 421)
