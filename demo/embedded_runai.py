"""The embedded Run:ai as the platform of a playground; it needs nothing but Python."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx

from airflow_runai.emulator.settings import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from demo.free_ports import free_port
from demo.platforms import RUNAI, Launch, TrainingPlatform


class EmbeddedRunai(TrainingPlatform):
    """
    The embedded Run:ai.

    :param folder: for its state.
    :param port: 0 takes a free one.
    """

    word = RUNAI
    title = "the embedded Run:ai"
    speaker = "Run:ai"

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder, self.port = folder, port or free_port()

    @property
    def ports(self) -> Mapping[str, int]:
        """The one of its API and page."""
        return {self.title: self.port}

    @property
    def address(self) -> str:
        """Its API and page."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def place(self) -> str:
        """What people call it, and where they find it."""
        return f"{self.title} on {self.address}"

    @property
    def connection(self) -> dict[str, Any]:
        """The Airflow connection that leads to it, without an id."""
        return {
            "conn_type": "runai",
            "host": "http://127.0.0.1",
            "port": self.port,
            "login": DEFAULT_CLIENT_ID,
            "password": DEFAULT_CLIENT_SECRET,
            "extra": json.dumps({"project": "team-a"}),
        }

    def prepare(self) -> None:
        """Make nothing: it is part of the package."""

    def start(self, shared: Path, launch: Launch) -> None:
        """Start it; it answers a moment later."""
        command = [
            sys.executable,
            "-m",
            "airflow_runai.emulator",
            f"--port={self.port}",
            "--nodes=2",
            "--gpus-per-node=2",
            "--project=team-a:2",
            "--project=team-b:2",
            f"--state={self.folder}",
            f"--volume=shared={shared}",
            f"--volume=/nfs/john={shared / 'john'}",
        ]
        launch("runai", command)

    def answers(self) -> bool:
        """Whether its API does."""
        try:
            reply = httpx.get(f"{self.address}/api/v1/clusters", timeout=2)
        except httpx.HTTPError:
            return False
        return reply.status_code in (200, 401)

    @property
    def directions(self) -> str:
        """Its page, with the login."""
        login = f"client_id={DEFAULT_CLIENT_ID}&client_secret={DEFAULT_CLIENT_SECRET}"
        return f"embedded Run:ai    {self.address}/#{login}"

    def preempt(self) -> list[str]:
        """Preempt all workloads that run; return what was done."""
        with self._client() as api:
            listed = api.get("api/v1/workloads").raise_for_status().json()["workloads"]
            running = [str(one["name"]) for one in listed if one["phase"] == "Running"]
            for name in running:
                api.post(f"_emulator/workloads/{name}/preempt").raise_for_status()
        return [f"preempted {name}" for name in running]

    def detach(self) -> None:
        """Do nothing: no process of the playground ends with this one."""

    def stop(self) -> None:
        """Do nothing: its process is one of the playground's."""

    def _client(self) -> httpx.Client:
        login = {
            "grantType": "client_credentials",
            "clientId": DEFAULT_CLIENT_ID,
            "clientSecret": DEFAULT_CLIENT_SECRET,
        }
        reply = httpx.post(f"{self.address}/api/v1/token", json=login).raise_for_status()
        token = reply.json()["accessToken"]
        return httpx.Client(
            base_url=f"{self.address}/", headers={"Authorization": f"Bearer {token}"}
        )
