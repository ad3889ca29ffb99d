"""
How to reach a Kubernetes API server, and as whom; free of Airflow.

Credentials are short-lived: tokens are rotated, plug-ins issue new ones. So a client has a way to
obtain access anew, and does so once for all requests that were refused at the same time (401). It
happens below the client, in its transport, because a new client certificate needs new connections,
and whoever holds the client must not notice.
"""

# ruff: noqa: D102 - httpx says what the methods of a transport mean
from __future__ import annotations

import asyncio
import hashlib
import logging
import math
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from airflow_runai.backends.clients import KEPT
from airflow_runai.core.mask import clean
from airflow_runai.core.texts import cut
from airflow_runai.errors import ConnectionSettingsError, RunaiError, Unreachable, Untrusted

log = logging.getLogger(__name__)

#: Seconds within which access is not obtained twice; after failures it takes longer and longer.
_LEAST, _MOST = 10.0, 600.0
#: Streams, one per kind and namespace and per log that is followed, and all other requests.
CONNECTIONS = 200


@dataclass(frozen=True)
class ClusterAccess:
    """
    How to reach one API server, and as whom.

    :param host: with scheme, for example ``https://10.0.0.1:6443``.
    :param authorization: value of the header; empty for none.
    :param ca: PEM certificates that are trusted, instead of the system's.
    :param certificate: files of the client certificate and of its key.
    :param fingerprint: of the client certificate's content, which may change in the same file.
    :param server_name: to which the server's certificate must belong, if not to the host.
    :param proxy: address; ``None`` for what the environment says.
    """

    host: str
    authorization: str = field(default="", repr=False)
    ca: str | None = field(default=None, repr=False)
    certificate: tuple[str, str] | None = None
    fingerprint: str = ""
    verify: bool = True
    server_name: str | None = None
    proxy: str | None = field(default=None, repr=False)

    @property
    def cluster(self) -> str:
        """
        A short name of the cluster, the same however it is reached.

        What another cluster does not know was not deleted.
        """
        identity = self.ca or self.host
        return hashlib.sha256(identity.encode()).hexdigest()[:16]

    def needs_new_connections(self, old: ClusterAccess) -> bool:
        """Whether connections that were opened with ``old`` are of no use for this one."""
        return self._line() != old._line()

    def _line(self) -> tuple[Any, ...]:
        tls = (self.ca, self.certificate, self.fingerprint, self.verify, self.server_name)
        return (self.host, self.proxy, *tls)


class Renewal:
    """
    The newest access, obtained anew where it is refused.

    :param obtain: returns access, or raises ``ConnectionSettingsError``; blocks, for it may read
        files and run a plug-in.
    """

    def __init__(self, access: ClusterAccess, obtain: Callable[[], ClusterAccess]) -> None:
        self.access = access
        self._obtain = obtain
        self._pause = _LEAST
        self._asked_at = -math.inf

    def is_due(self, refused: ClusterAccess) -> bool:
        """Whether to obtain it anew, after ``refused`` was."""
        return refused is self.access and time.monotonic() - self._asked_at >= self._pause

    def renew(self) -> None:
        """Obtain it; if that fails, or brings nothing new, the old one stays."""
        fresh = self.access
        try:
            fresh = self._obtain()
        except RunaiError as error:
            log.warning("the cluster refuses the credentials, and there are no new ones: %s", error)
        self._asked_at = time.monotonic()
        if fresh == self.access:
            self._pause = min(2 * self._pause, _MOST)
        else:
            self.access, self._pause = fresh, _LEAST


def client(access: ClusterAccess, obtain: Callable[[], ClusterAccess]) -> httpx.Client:
    """Return a blocking client; the caller closes it."""
    return httpx.Client(transport=BlockingLine(access, obtain), **_options(access))


def async_client(access: ClusterAccess, obtain: Callable[[], ClusterAccess]) -> httpx.AsyncClient:
    """Return a client for the running event loop; the caller closes it."""
    return httpx.AsyncClient(transport=AwaitedLine(access, obtain), **_options(access))


class BlockingLine(httpx.BaseTransport):
    """The way to the server, also for a client that knows other servers, too."""

    def __init__(self, access: ClusterAccess, obtain: Callable[[], ClusterAccess]) -> None:
        self._renewal, self._lock = Renewal(access, obtain), threading.Lock()
        self._inner = httpx.HTTPTransport(**_transport(access))
        self._outdated: httpx.HTTPTransport | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        used = self._renewal.access
        response = self._send(request, used)
        if response.status_code != 401 or not self._has_newer(used):
            return response
        response.close()
        return self._send(request, self._renewal.access)

    def _send(self, request: httpx.Request, access: ClusterAccess) -> httpx.Response:
        try:
            return self._inner.handle_request(_signed(request, access))
        except httpx.TransportError as error:
            raise _unreachable(request, error) from error

    def _has_newer(self, used: ClusterAccess) -> bool:
        with self._lock:
            if self._renewal.is_due(used):
                self._renewal.renew()
                if self._renewal.access.needs_new_connections(used):
                    self._replace()
        return self._renewal.access is not used

    def _replace(self) -> None:
        if self._outdated:
            self._outdated.close()
        # A stream may still come over it.
        self._outdated = self._inner
        self._inner = httpx.HTTPTransport(**_transport(self._renewal.access))

    def close(self) -> None:
        self._inner.close()
        if self._outdated:
            self._outdated.close()


class AwaitedLine(httpx.AsyncBaseTransport):
    """The same on an event loop, which does not wait for the plug-in."""

    def __init__(self, access: ClusterAccess, obtain: Callable[[], ClusterAccess]) -> None:
        self._renewal, self._lock = Renewal(access, obtain), asyncio.Lock()
        self._inner = httpx.AsyncHTTPTransport(**_transport(access))
        self._outdated: httpx.AsyncHTTPTransport | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        used = self._renewal.access
        response = await self._send(request, used)
        if response.status_code != 401 or not await self._has_newer(used):
            return response
        await response.aclose()
        return await self._send(request, self._renewal.access)

    async def _send(self, request: httpx.Request, access: ClusterAccess) -> httpx.Response:
        try:
            return await self._inner.handle_async_request(_signed(request, access))
        except httpx.TransportError as error:
            raise _unreachable(request, error) from error

    async def _has_newer(self, used: ClusterAccess) -> bool:
        async with self._lock:
            if self._renewal.is_due(used):
                await asyncio.to_thread(self._renewal.renew)
                if self._renewal.access.needs_new_connections(used):
                    await self._replace()
        return self._renewal.access is not used

    async def _replace(self) -> None:
        if self._outdated:
            await self._outdated.aclose()
        self._outdated = self._inner
        self._inner = httpx.AsyncHTTPTransport(**_transport(self._renewal.access))

    async def aclose(self) -> None:
        await self._inner.aclose()
        if self._outdated:
            await self._outdated.aclose()


def _options(access: ClusterAccess) -> dict[str, Any]:
    try:
        address = httpx.URL(access.host.rstrip("/") + "/")
    except httpx.InvalidURL as error:
        raise ConnectionSettingsError(
            f"server of the kubeconfig: {cut(access.host)!r} is not an address: {error}"
        ) from error
    return {
        "base_url": address,
        "timeout": httpx.Timeout(30.0, connect=10.0),
        "follow_redirects": False,
        "headers": {"Accept": "application/json", "User-Agent": "airflow-provider-runai"},
    }


def _transport(access: ClusterAccess) -> dict[str, Any]:
    limits = httpx.Limits(max_connections=CONNECTIONS, keepalive_expiry=KEPT)
    return {"verify": _trust(access), "proxy": _proxy(access), "limits": limits}


def _proxy(access: ClusterAccess) -> str | None:
    """Return the proxy of the connection; else what the environment has for this host."""
    if access.proxy:
        return access.proxy
    parts = urlsplit(access.host)
    if proxy_bypass(parts.netloc):
        return None
    return getproxies().get(parts.scheme)


def _trust(access: ClusterAccess) -> ssl.SSLContext | bool:
    if not access.host.startswith("https"):
        return True
    try:
        context = ssl.create_default_context(cadata=access.ca)
        if access.certificate:
            context.load_cert_chain(*access.certificate)
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConnectionSettingsError(
            f"certificates of the kubeconfig: {clean(str(error))}; needed: PEM texts or files that "
            "every worker and triggerer can read, and a key without a password"
        ) from error
    if not access.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    return context


def _signed(request: httpx.Request, access: ClusterAccess) -> httpx.Request:
    request.headers.pop("Authorization", None)
    if access.authorization:
        request.headers["Authorization"] = access.authorization
    if access.server_name:
        request.extensions = {**request.extensions, "sni_hostname": access.server_name}
    return request


def _unreachable(request: httpx.Request, error: httpx.TransportError) -> Unreachable:
    where = f"{request.method} {cut(str(request.url.copy_with(query=None)), 512)}"
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        return Untrusted(
            f"{where}: the server's certificate is not trusted ({cut(str(error), 160)}); check "
            "`certificate-authority` and `tls-server-name` in the connection's kubeconfig, and "
            "whether the certificate has expired"
        )
    advice = "check `server` and `proxy-url` in the connection's kubeconfig"
    words = clean(str(error)) or "no details"
    return Unreachable(f"{where}: {type(error).__name__}: {words}; {advice}")


def read_certificates(file: str | None) -> str | None:
    """Return the text of a file of trusted certificates; ``None`` for none."""
    if file is None:
        return None
    try:
        return Path(file).read_text(encoding="ascii", errors="replace")
    except OSError as error:
        raise ConnectionSettingsError(
            f"certificate-authority of the kubeconfig: {file!r} cannot be read "
            f"({error.strerror}); allowed: a PEM file on every worker and triggerer"
        ) from error
