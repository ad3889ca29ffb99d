"""
``python -m tests.rig.kubelet --kubeconfig FILE --node NAME --port PORT --folder DIRECTORY``.

Ends on SIGTERM and SIGINT, and leaves the containers running.
"""

from __future__ import annotations

import argparse
import signal
import ssl
import sys
import threading
from pathlib import Path

from tests.rig.api import Api
from tests.rig.certificates import Authority
from tests.rig.kubelet.node import Node
from tests.rig.kubelet.server import Server


def main() -> str | None:
    """Run until told to end; return a complaint, if there is one."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.rig.kubelet", description="A stand-in for the kubelet."
    )
    parser.add_argument(
        "--kubeconfig", type=Path, required=True, help="how to reach the API server, as admin"
    )
    parser.add_argument("--node", required=True, help="name of the node whose pods to run")
    parser.add_argument("--port", type=int, required=True, help="where to serve logs, on 127.0.0.1")
    parser.add_argument(
        "--folder", type=Path, required=True, help="where to keep containers; of this node only"
    )
    arguments = parser.parse_args()
    try:
        server = Server(arguments.port)  # before all else: who has the port has the folder
    except OSError as error:
        return f"port {arguments.port} of 127.0.0.1: {error.strerror}; choose another, or end what listens there"
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    node = Node(
        Api.from_kubeconfig(arguments.kubeconfig),
        arguments.node,
        _folder(arguments.folder / "pods"),
    )
    server.open(_certificate(arguments.folder / "tls"), node.logs, node.ready)
    node.start()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    stop.wait()
    return None


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path.absolute()


def _certificate(folder: Path) -> ssl.SSLContext:
    """Make a certificate; the API server believes any."""
    pair = Authority("kubelet").pair(folder, "kubelet")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


if __name__ == "__main__":
    sys.exit(main())
