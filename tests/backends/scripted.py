"""A small HTTP server over a real socket that answers by a function, and can break off anywhere."""

from __future__ import annotations

import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlsplit

#: In place of a piece: break the connection, as a server does that dies.
CUT = object()
#: The end of a chunked body.
LAST = b"0\r\n\r\n"


@dataclass
class Asked:
    """One request."""

    method: str
    path: str
    params: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes
    server_name: str = ""


#: Yields what to send, piece by piece; may wait in between.
Answer = Callable[[Asked], Iterable[Any]]


@dataclass
class ScriptedServer:
    """
    :ivar asked: all requests.
    :ivar hung_up: how many connections the other side has closed while an answer was on its way,
        or after it.
    """

    answer: Answer
    context: ssl.SSLContext | None = None
    asked: list[Asked] = field(default_factory=list)
    hung_up: int = 0
    port: int = 0
    _names: dict[int, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return f"{'https' if self.context else 'http'}://localhost:{self.port}"

    @contextmanager
    def listening(self) -> Iterator[ScriptedServer]:
        with socket.create_server(("127.0.0.1", 0), backlog=128) as door:
            self.port = door.getsockname()[1]
            if self.context:
                self.context.sni_callback = self._note_name
            thread = threading.Thread(target=self._accept, args=[door], daemon=True)
            thread.start()
            yield self
            door.shutdown(socket.SHUT_RDWR)
            thread.join()

    def _note_name(self, talk: Any, name: str | None, context: Any) -> None:
        self._names[threading.get_ident()] = name or ""

    def _accept(self, door: socket.socket) -> None:
        with suppress(OSError):
            while True:
                visitor, _ = door.accept()
                threading.Thread(target=self._serve, args=[visitor], daemon=True).start()

    def _serve(self, visitor: socket.socket) -> None:
        with visitor, suppress(OSError):
            talk = self.context.wrap_socket(visitor, server_side=True) if self.context else visitor
            with talk:
                while self._exchange(talk):
                    pass
            self.hung_up += 1

    def _exchange(self, talk: socket.socket) -> bool:
        asked = self._read(talk)
        if asked is None:
            return False
        self.asked.append(asked)
        for piece in self.answer(asked):
            if piece is CUT:
                talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                raise OSError("cut")
            try:
                talk.sendall(piece)
            except OSError:
                self.hung_up += 1
                raise
        return True

    def _read(self, talk: socket.socket) -> Asked | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = talk.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {k.lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}
        while len(body) < int(headers.get("content-length", 0)):
            body += talk.recv(65536)
        method, target, _ = first.split(" ")
        parts = urlsplit(target)
        name = self._names.get(threading.get_ident(), "")
        return Asked(method, parts.path, dict(parse_qsl(parts.query)), headers, body, name)


def whole(
    body: Any, status: int = 200, content_type: str = "application/json", **more: str
) -> bytes:
    """Return a complete reply; keywords are headers, with ``_`` for ``-``."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"content-type": content_type, "content-length": str(len(data))}
    headers |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} Said\r\n{lines}\r\n".encode() + data


def opening(status: int = 200) -> bytes:
    """Return the head of a reply whose body comes in chunks."""
    return (
        f"HTTP/1.1 {status} Said\r\ncontent-type: application/json\r\n"
        "transfer-encoding: chunked\r\n\r\n"
    ).encode()


def chunk(data: bytes | Mapping[str, Any]) -> bytes:
    """Return a chunk: bytes, or a mapping as one line."""
    line = data if isinstance(data, bytes) else json.dumps(data).encode() + b"\n"
    return f"{len(line):x}\r\n".encode() + line + b"\r\n"
