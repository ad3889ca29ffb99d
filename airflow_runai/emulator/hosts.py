"""
Keeps foreign web pages away from an emulator whose secret is public.

A page whose domain name suddenly points here (DNS rebinding) has, for the browser, the emulator's
origin, and the default secret is public: the page could log in and run commands. The ``Host``
header gives such requests away: only a registered domain can be rebound, and it always has a dot.
Addresses and names without a dot (``localhost``, a service of Docker Compose) cannot be rebound. An
emulator that listens to the network has a secret of its own; there any name may be right, and the
check is not used.
"""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from airflow_runai.emulator.settings import DEFAULT_CLIENT_SECRET, EmulatorSettings, is_loopback


class HostCheckMiddleware:
    """
    Answers 421 to requests for a host name with a dot; the port may be forwarded, so any will do.

    :param app: answers the other requests.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(
        self,
        scope: Scope,
        receive: Receive,
        send: Send,
    ) -> None:
        """Answer one request."""
        host = Headers(scope=scope).get("host", "")
        answer = _refusal(host) if _is_domain(host) else self._app
        await answer(scope, receive, send)


def needs_host_check(settings: EmulatorSettings) -> bool:
    """Whether only :class:`HostCheckMiddleware` stands between a website and a log-in."""
    return is_loopback(settings.host) or settings.secret == DEFAULT_CLIENT_SECRET


def _is_domain(host: str) -> bool:
    """Whether the name may be a registered domain; an empty one is treated as such."""
    try:
        # An address cannot be rebound to another one.
        ipaddress.ip_address(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return "." in host or not host
    return False


def _refusal(host: str) -> JSONResponse:
    details = (
        f"Host: {host[:100]!r} is a domain name; use 127.0.0.1, localhost or another address of "
        "this machine"
    )
    return JSONResponse(
        {
            "code": 421,
            "message": "misdirected request",
            "details": details,
        },
        421,
    )
