"""
The HTTPS server of a kubelet, for the API server: ``/healthz`` and ``/containerLogs``. Not there:
exec, attach, port forwarding, metrics.

It asks for no credentials: it listens on loopback, for a cluster of tests.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from socketserver import TCPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.rig.kubelet.logs import Query

__all__ = ["Refused", "Server"]

#: Namespace, pod, container and query to the lines of a log.
Logs = Callable[[str, str, str, Query], Iterator[bytes]]


class Refused(Exception):
    """An answer that is an error: status and text."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Server(ThreadingHTTPServer):
    """
    Holds the port from the beginning; serves once :meth:`open` was called and ``serve_forever`` runs.

    :raises OSError: if the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking the resolver for this machine's name."""
        TCPServer.server_bind(self)

    def open(self, tls: ssl.SSLContext, logs: Logs, ready: Callable[[], bool]) -> None:
        """Say what to serve."""
        self.logs, self.ready = logs, ready
        self.socket = tls.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, request: socket | tuple[bytes, socket], client_address: Any) -> None:
        """Say nothing: whoever went away knows."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:  # http.server wants this name
        place = urlsplit(self.path)
        parts = place.path.strip("/").split("/")
        try:
            if parts == ["healthz"]:
                ready = self.server.ready()
                self._say(200 if ready else 503, "ok" if ready else "not yet")
            elif parts[0] == "containerLogs" and len(parts) == 4:
                self._stream(self.server.logs(parts[1], parts[2], parts[3], _query(place.query)))
            else:
                self._say(404, f"the stand-in for the kubelet does not serve {place.path}")
        except Refused as error:
            self._say(error.status, str(error))

    def do_POST(self) -> None:  # exec, attach, portForward
        self.close_connection = True
        self._say(501, "the stand-in for the kubelet runs no commands in containers")

    def log_message(self, format: str, *args: Any) -> None:
        """Keep no access log."""

    def _say(self, status: int, text: str) -> None:
        body = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, lines: Iterator[bytes]) -> None:
        """Send in chunks, so that a stand-in that dies in the middle is no clean end."""
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")


def _query(text: str) -> Query:
    try:
        return Query.of(dict(parse_qsl(text)))
    except ValueError as error:
        raise Refused(400, f"log query {text!r}: {error}") from None
