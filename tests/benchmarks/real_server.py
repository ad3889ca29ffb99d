"""
The faulty server on a real socket with TLS, beside a Kubernetes API that answers for jobs.

``python -m tests.benchmarks.real_server FOLDER --waits 1000`` makes its own certificate, writes its
port to ``FOLDER/port``, and tells at ``/bench/requests`` how often it was asked for what. A storm begins
when somebody asks for ``/bench/storm``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import uvicorn

from tests.benchmarks.faulty_server import Row, Server
from tests.benchmarks.waiting_scenarios import SCENARIOS, Scenario
from tests.rig.certificates import Authority

Scope = Mapping[str, Any]
Message = Mapping[str, Any]
Answer = tuple[int, Mapping[str, str], bytes]
_JOBS = "/apis/batch/v1/"


class Application:
    """Both control planes, as an ASGI application."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __call__(
        self,
        scope: Scope,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Answer one request."""
        while (await receive()).get("more_body"):
            pass
        status, headers, body = self._answer(scope["path"], scope["query_string"].decode())
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        pairs.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": pairs})
        await send({"type": "http.response.body", "body": body})

    def _answer(self, path: str, query: str) -> Answer:
        if path == "/bench/requests":
            counted = Counter(kind for _, kind in self._server.requests)
            return _json({**counted, "logs": len(self._server.logs)})
        if path == "/bench/storm":
            self._begin(replace(SCENARIOS["storm"], **_numbers(query)))
            return _json({})
        if path.startswith(_JOBS):
            self._server.requests.append((time.time(), "job"))
            return _json(_job(path.split("/")[6]))
        return self._server.answer(path, dict(parse_qsl(query)))

    def _begin(self, storm: Scenario) -> None:
        loop = asyncio.get_running_loop()
        for seconds, row, phase in storm.script(list(self._server.rows.values())):
            loop.call_later(seconds, self._server.enter, row, phase)


def _numbers(query: str) -> dict[str, Any]:
    return {name: int(value) for name, value in parse_qsl(query)}


def _json(value: object) -> Answer:
    return 200, {"content-type": "application/json"}, json.dumps(value).encode()


def _job(name: str) -> dict[str, Any]:
    """Describe a job that runs, at the length of a real one."""
    labels = {"batch.kubernetes.io/job-name": name, "airflow_version": "3.3", "dag_id": "bench"}
    variables = [{"name": f"VARIABLE_{number}", "value": "of some length"} for number in range(20)]
    container = {
        "name": "base",
        "image": "registry.example/teams/team-a/training:2026-11-01",
        "command": ["./startup.sh"],
        "env": variables,
        "resources": {"limits": {"nvidia.com/gpu": "1", "memory": "64Gi"}},
    }
    pod = {"containers": [container], "restartPolicy": "Never", "serviceAccountName": "default"}
    moment = "2026-11-01T12:00:00Z"
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": "bench",
            "labels": labels,
            "creationTimestamp": moment,
            "uid": "7f3c9a52-4a54-4d0b-9a2e-1d4bb1f3c001",
        },
        "spec": {
            "backoffLimit": 6,
            "completions": 1,
            "parallelism": 1,
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
        "status": {"active": 1, "ready": 1, "startTime": moment},
    }


def rows(waits: int) -> list[Row]:
    """Make workloads that run."""
    begun = time.time() - 7200
    past = ((begun, "Creating"), (begun + 2, "Pending"), (begun + 600, "Initializing"))
    return [
        Row(identity(number), f"train-{number:010x}-g1", "0", begun, "Running", begun + 640, past)
        for number in range(waits)
    ]


def identity(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012x}"


def as_trigger_wants(number: int) -> dict[str, Any]:
    """Describe a workload as the operator hands it to its trigger."""
    row = rows(1)[0]
    return {
        "id": identity(number),
        "name": f"train-{number:010x}-g1",
        "project_id": row.project,
        "cluster_id": "",
        "kind": "Training",
        "created_at": row.created,
        "phase": "Pending",
    }


def main() -> None:
    """Serve until somebody ends the process."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--waits", type=int, required=True)
    parser.add_argument("--delta", action="store_true", help="filter lists by phaseUpdatedAt")
    chosen = parser.parse_args()
    server = Server(time.time)
    if not chosen.delta:
        server.fields -= {"phaseUpdatedAt"}
    for row in rows(chosen.waits):
        server.add(row)
    authority = Authority("bench")
    authority.write(chosen.folder / "ca.pem")
    pair = authority.pair(chosen.folder / "server", "localhost")
    listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
    (chosen.folder / "port.new").write_text(str(listener.getsockname()[1]))
    (chosen.folder / "port.new").rename(chosen.folder / "port")
    config = uvicorn.Config(
        Application(server),
        ssl_certfile=pair.certificate,
        ssl_keyfile=pair.key,
        log_level="warning",
        access_log=False,
        timeout_keep_alive=120,
    )
    uvicorn.Server(config).run(sockets=[listener])


if __name__ == "__main__":
    main()
