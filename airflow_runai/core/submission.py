"""
What to submit, or what to adopt instead: decided from what the control plane already has.

A *generation* is the n-th workload of one mapped task instance. It rises only after a workload ended badly and
Airflow retries, or when the user cleared the task and wants a restart. A crashed worker, a restarted triggerer or an
outage never raise it: they find the workload and adopt it. Airflow's state store is a hint for telling a clear from a
retry; the workloads themselves say the same (their variable ``AIRFLOW_RUNAI_TRY``), so a lost note never leads to a
second workload.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.naming import generation_of
from airflow_runai.core.phases import FINAL, Meaning
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import Workload

ON_CLEAR = ("restart", "reattach")
_BAD_ENDS = (Meaning.FAILED, Meaning.DELETING)


@dataclass(frozen=True)
class Note:
    """
    What an earlier try wrote down.

    :param try_number: the try that submitted.
    :param workload_id: known only if that try lived until after the submission.
    """

    generation: int
    try_number: int
    workload_id: str | None = None

    @classmethod
    def from_json(cls, value: object) -> Note | None:
        """Read a stored note; anything else than one of ours counts as lost."""
        if not isinstance(value, Mapping) or not isinstance(value.get("generation"), int):
            return None
        return cls(value["generation"], int(value.get("try_number") or 1), value.get("workload_id"))

    def to_json(self) -> dict[str, Any]:
        """Return plain JSON values."""
        return {"generation": self.generation, "try_number": self.try_number, "workload_id": self.workload_id}


@dataclass(frozen=True)
class Tries:
    """
    Where Airflow stands.

    :param current: the present try, from 1.
    :param first: the first try since the last clear; 1 if the task was never cleared.
    """

    current: int
    first: int = 1


@dataclass(frozen=True)
class Create:
    """Submit generation ``generation``, after ending ``replaces`` if that still lives."""

    generation: int
    replaces: Workload | None = None


@dataclass(frozen=True)
class Adopt:
    """Take the workload that exists, whatever its phase: the wait will say how it ended."""

    generation: int
    workload: Workload


def plan(base: str, existing: Sequence[Workload], tries: Tries, note: Note | None, on_clear: str) -> Create | Adopt:
    """
    Decide between creating and adopting.

    :param base: the name without generation.
    :param existing: all workloads whose name begins with ``base``, deleted ones included.
    :param on_clear: ``restart`` or ``reattach``: what a clear by the user means.
    """
    newest = _newest(base, existing)
    if newest is None:
        return _plan_without_workload(tries, note)
    generation, workload = newest
    made_by = workload.try_number or (note.try_number if note and note.generation == generation else tries.first)
    # What is only being deleted still has pods: it must be gone before another writes the same checkpoints.
    lives = not workload.deleted and workload.meaning not in FINAL
    cleared, ended_badly = made_by < tries.first, workload.meaning in _BAD_ENDS
    if (cleared and on_clear == "restart") or (ended_badly and made_by < tries.current):
        return Create(generation + 1, replaces=workload if lives else None)
    return Adopt(generation, workload)


def _newest(base: str, existing: Sequence[Workload]) -> tuple[int, Workload] | None:
    ours = [(g, w) for w in existing if (g := generation_of(base, w.name)) is not None]
    # Of two with one name (deleted and made again) the living one counts.
    return max(ours, key=lambda pair: (pair[0], not pair[1].deleted, pair[1].created_at), default=None)


def _plan_without_workload(tries: Tries, note: Note | None) -> Create:
    if note is None:
        return Create(1)
    submitted_before = note.workload_id is not None and note.try_number < tries.current
    return Create(note.generation + 1 if submitted_before else note.generation)


def differences(ours: Mapping[str, Any], theirs: object, path: str = "spec") -> Iterator[str]:
    """
    Tell where a workload that exists differs from what would be submitted.

    Only keys that we would send are compared (a server adds defaults). Values of variables are never shown.
    """
    other = theirs if isinstance(theirs, Mapping) else {}
    for key, value in ours.items():
        found = other.get(key)
        if key == "environmentVariables":
            yield from _variables_that_differ(value, found, f"{path}.{key}")
        elif isinstance(value, Mapping):
            yield from differences(value, found, f"{path}.{key}")
        elif found != value:
            yield f"{path}.{key}: running with {cut(repr(found))}, now {cut(repr(value))}"


def _variables_that_differ(ours: object, theirs: object, path: str) -> Iterator[str]:
    mine, other = _by_name(ours), _by_name(theirs)
    for name in sorted({*mine, *other}):
        if mine.get(name) != other.get(name) and not name.startswith("AIRFLOW_RUNAI_"):
            yield f"{path}[{cut(name, 80)}]: another value (not shown)"


def _by_name(entries: object) -> dict[str, Any]:
    listed = entries if isinstance(entries, list) else []
    return {str(entry.get("name")): entry for entry in listed if isinstance(entry, Mapping)}
