"""`make up` if a port is in use, or the machine was restarted."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from demo.playground import NotReady, Playground, free_port


@pytest.mark.parametrize("whose", ["airflow_port", "runai_port"])
def test_a_port_in_use_is_named_before_anything_starts(tmp_path: Path, whose: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        ground = Playground(tmp_path / "ground", **{whose: taken})
        with pytest.raises(NotReady, match=f"port {taken} for .* is in use"):
            ground.start()
    assert ground.processes == {}
    assert not ground.root.exists()


def test_processes_of_before_a_restart_are_not_taken_for_living_ones(tmp_path: Path) -> None:
    assert not Playground(
        tmp_path, free_port(), free_port(), processes={"airflow": 2**22 + 1}
    ).lives
