"""
The note that a try leaves for later ones, in Airflow's task state store.

It tells a clear from a retry, and names the workload to look for when a list lacks it. It never
proves that a workload exists or not; notes of older versions, damaged ones and lost ones only make
a try more careful.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.workload import Workload

_MAX_GENERATION = 9999


@dataclass(frozen=True)
class Note:
    """
    A note of an earlier try.

    :param generation: the newest that was intended; 0 if nothing was ever submitted, because the
        workload of that name was not ours.
    :param try_number: the try that submitted, or adopted.
    :param workload_id: known only if that try lived until after the submission.
    :param name: of the workload; it keeps its readable part when the DAG gets another one.
    :param instance: name of the Airflow at that time; later settings do not change it.
    :param connection: id of the connection through which it was submitted.
    :param project_id: of its project, as is ``cluster_id`` of its cluster; older notes lack both,
        and its ``kind``.
    :param fingerprint: of the specification that was submitted.
    :param max_tries: Airflow's number at that time; only a clear changes it.
    :param begun: epoch seconds of the server's clock when this run first intended to submit: an
        older workload is another life's.
    :param missed_at: ``max_tries`` of the newest try that could not find the workload.
    :param cut_short: id of the newest workload that completed before its training was complete.
    """

    generation: int
    try_number: int
    workload_id: str | None = None
    name: str | None = None
    instance: str | None = None
    connection: str | None = None
    fingerprint: str | None = None
    max_tries: int | None = None
    begun: int | None = None
    missed_at: int | None = None
    cut_short: str | None = None
    project_id: str | None = None
    cluster_id: str | None = None
    kind: str | None = None

    @classmethod
    def from_json(cls, value: object) -> Note | None:
        """Read a stored note; anything but a note of ours counts as lost."""
        if not isinstance(value, Mapping):
            return None
        # By their annotations, so that a new field needs no second list.
        read = {field.name: _READ[str(field.type)](value.get(field.name)) for field in fields(cls)}
        if read["generation"] is None or read["generation"] > _MAX_GENERATION:
            return None
        return cls(**{**read, "try_number": read["try_number"] or 1})

    def workload(self) -> Workload:
        """Return what is known of the workload, for another look."""
        return Workload(
            id=self.workload_id or "",
            name=self.name or "",
            phase="",
            project_id=self.project_id or "",
            cluster_id=self.cluster_id or "",
            kind=self.kind or "",
        )

    def to_json(self) -> JsonObject:
        """Return plain JSON values."""
        return asdict(self)


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value and value.isprintable() else None


_READ: Mapping[str, Callable[[object], Any]] = {
    "int": _count,
    "int | None": _count,
    "str | None": _text,
}
