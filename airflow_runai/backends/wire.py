"""How requests and replies look to httpx, and what its errors mean; sends nothing."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.texts import TEXT_LIMIT, cut
from airflow_runai.errors import Unreachable, Untrusted


@contextmanager
def wire_errors_as_unreachable(request: Request, base: httpx.URL) -> Iterator[None]:
    """Raise ``Unreachable`` where the wire fails."""
    try:
        yield
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _unreachable(error, request, base) from error
    except UnicodeError as error:
        # The resolver raises it for a host that is no name; but so does a body with odd characters.
        if getattr(error, "encoding", "idna") != "idna":
            raise
        raise _unreachable(error, request, base) from error


def arguments(request: Request) -> dict[str, Any]:
    """Return what httpx needs to build the request."""
    return {
        "method": request.method,
        "url": request.path,
        "params": list(request.params) or None,
        "json": request.json,
        "data": request.form,
        "headers": dict(request.headers),
    }


def reply(
    request: Request,
    response: httpx.Response,
    content: bytearray,
    sent: float,
    clock: ServerClock,
) -> Reply:
    """
    Return our record of a response whose body has come.

    :param sent: epoch seconds by our clock at which the request was sent.
    """
    if not request.is_elsewhere:
        clock.learn(response.headers.get("date"), sent)
    decode = (response.is_success and request.decode) or json.loads
    try:
        body = decode(content) if content else None
    except (ValueError, RecursionError):
        body = None
    # Only the beginning: a list of hundreds of workloads is megabytes, and this runs on the event
    # loop, too.
    text = content[: 4 * TEXT_LIMIT].decode("utf-8", "replace")
    return Reply(response.status_code, clock.now(), body, cut(text), dict(response.headers))


def _unreachable(error: Exception, request: Request, base: httpx.URL) -> Unreachable:
    is_elsewhere = request.is_elsewhere
    address = request.path if is_elsewhere else base.join(request.path.lstrip("/"))
    where = f"{request.method} {cut(str(address), 2 * TEXT_LIMIT)}"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Untrusted(
            f"{where}: the server's certificate is not trusted ({cut(str(error), 120)}); "
            "name its CA file in the connection, or find out who answers at this address"
        )
    field = "cluster_url, and that this machine may reach it" if is_elsewhere else "host"
    is_found = isinstance(error, httpx.HTTPError)
    is_lost = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout) or not is_found
    remedy = f"; check the connection's {field}" if is_lost else ""
    kind = type(error).__name__ if is_found else "not an address"
    return Unreachable(f"{where}: {kind}: {cut(str(error)) or 'no details'}{remedy}")
