"""
State that survives a restart: one small JSON file per workload, replaced atomically.

One file each, so that a create costs the same whether ten or ten thousand workloads exist. Nothing
is synced to the disk: the state must outlive the emulator's process, not the machine.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from airflow_runai.emulator.records import EmulatedWorkload, from_json, to_json


class Store:
    """
    Keeps workloads under ``<state>/workloads``.

    :param state: the directory; None keeps nothing.
    """

    def __init__(self, state: Path | None) -> None:
        self._folder = state / "workloads" if state else None
        self._touched: dict[str, EmulatedWorkload] = {}
        if self._folder:
            self._folder.mkdir(parents=True, exist_ok=True)

    def touch(self, workload: EmulatedWorkload) -> None:
        """Mark a workload to be written."""
        if self._folder:
            self._touched[workload.id] = workload

    def save(self) -> None:
        """Write the workloads touched since the last save."""
        # Once a step, however often a workload changed in it.
        for workload in self._touched.values():
            self._write(workload)
        self._touched.clear()

    def load(self) -> Iterator[EmulatedWorkload]:
        """
        Read all workloads in the order of their creation.

        :raises ValueError: a file is not a workload.
        """
        workloads = []
        for path in self._folder.glob("*.json") if self._folder else ():
            try:
                workloads.append(from_json(json.loads(path.read_text())))
            except (ValueError, TypeError, KeyError) as error:
                raise ValueError(
                    f"{path}: not a workload of this emulator ({error}); remove the file"
                ) from error
        yield from sorted(workloads, key=lambda workload: (workload.created_at, workload.id))

    def _write(self, workload: EmulatedWorkload) -> None:
        assert self._folder is not None
        path = self._folder / f"{workload.id}.json"
        beside = path.with_suffix(".tmp")
        # Beside it first: a crash must leave the old state or the new one, not half a file.
        beside.write_text(json.dumps(to_json(workload)))
        os.replace(beside, path)
