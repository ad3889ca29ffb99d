"""
Whether to submit a workload or adopt one, decided from those that the control plane already has.

A *generation* is the n-th workload of one mapped task instance. It rises only after a workload was
*seen* to have ended badly, or listed as deleted, and Airflow retries, or when the user cleared the
task and wants a restart. A crashed worker, a restarted triggerer or an outage never raise it: they
find the workload and adopt it. A submitted workload that cannot be found may still run: that fails
the try, and never begins a second training.

A run that was deleted and made again finds what its *earlier life* has left. That is never adopted:
if it lives, somebody else must end it, and what is over is told apart by its age.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.core.note import Note
from airflow_runai.core.phases import FINAL, OVER, Meaning
from airflow_runai.core.secrets import digest
from airflow_runai.core.texts import cut
from airflow_runai.core.workload import Workload
from airflow_runai.errors import ForeignWorkload, Missing

ON_CLEAR = ("restart", "reattach")
_BAD_ENDS = (Meaning.FAILED, Meaning.DELETING)

#: Two server times may seem to be in reverse order by this many seconds.
CLOCKS_AGREE = 10.0

#: A generation's number with its workload, deleted ones included.
Numbered = tuple[int, Workload]


def age_key(pair: Numbered) -> tuple[int, bool, float]:
    """Order generations; of two of one number (deleted and made again) the living one is newer."""
    generation, workload = pair
    return generation, not workload.deleted, workload.created_at


@dataclass(frozen=True)
class Tries:
    """
    The tries of a task, as Airflow counts them.

    :param current: the present try, from 1.
    :param first: the first try since the last clear, as far as the DAG's ``retries`` show; 1 if it
        was never cleared.
    :param max_tries: Airflow's number, which only a clear changes.
    """

    current: int
    first: int = 1
    max_tries: int = 0


@dataclass(frozen=True)
class Create:
    """
    Submit a generation.

    :param ends: to be ended first.
    :param before: the newest of the earlier ones.
    """

    generation: int
    ends: tuple[Workload, ...] = ()
    before: Workload | None = None


@dataclass(frozen=True)
class Adopt:
    """
    Take the workload that exists, whatever its phase: the wait will say how it ended.

    :param ends: older ones that are still alive, to be ended first.
    :param cleared: a user has cleared the task since it was submitted.
    """

    generation: int
    workload: Workload
    ends: tuple[Workload, ...] = ()
    cleared: bool = False


def plan_submission(
    existing: Sequence[Numbered], tries: Tries, note: Note | None, on_clear: str
) -> Create | Adopt:
    """
    Decide between creating and adopting.

    :param existing: all workloads of this task instance; deleted ones may be left out where
        :func:`begins_anew` says so.
    :param on_clear: ``restart`` or ``reattach``: what a clear by the user means.
    :raises Missing: if what was submitted is not among them.
    :raises ForeignWorkload: if one lives that no try of this run has submitted.
    """
    found = sorted(existing, key=age_key)
    alive = tuple(workload for _, workload in found if _lives(workload))
    # Beyond all numbers, also those of other lives: not every server frees names.
    another = Create(found[-1][0] + 1, alive, found[-1][1]) if found else Create(1)
    if _is_first(tries, note, found):
        return _begin(another)
    ours = [pair for pair in found if not _is_of_another_life(pair, note, found)]
    if note is not None and _is_missing(note, ours):
        return _without(note, tries, on_clear, another)
    if ours:
        return _follow(ours[-1], tries, note, on_clear, another)
    return replace(another, generation=note.generation) if note else another


def begins_anew(tries: Tries, note: Note | None) -> bool:
    """
    Tell whether no try of this run can have submitted anything.

    Then no deleted workload can be ours, so that :func:`plan_submission` can do without them. A try
    that is run again, a retry and a clear have a note, or a higher number.
    """
    return note is None and tries.current == 1


def _is_first(tries: Tries, note: Note | None, found: Sequence[Numbered]) -> bool:
    """Tell whether no try of this run has submitted anything."""
    if note is None:
        return begins_anew(tries, note)
    # The name that was intended was taken. A deleted one would not prove that: names become free.
    is_taken = any(
        number == note.generation and not workload.deleted and _is_older(workload, note)
        for number, workload in found
    )
    return note.generation == 0 or is_taken


def _is_of_another_life(pair: Numbered, note: Note | None, found: Sequence[Numbered]) -> bool:
    """
    Tell whether a workload that is over was made before the run was deleted and made again.

    The new life counts from 1 again, beside what is left of higher numbers.
    """
    generation, workload = pair
    if _lives(workload):
        return False
    if note is not None:
        return _is_older(workload, note)
    return any(
        number < generation and 0 < workload.created_at < other.created_at - CLOCKS_AGREE
        for number, other in found
    )


def _is_older(workload: Workload, note: Note) -> bool:
    """Tell whether a workload was made before this run first intended to make one."""
    if note.begun is None or workload.id == note.workload_id:
        return False
    return 0 < workload.created_at < note.begun - CLOCKS_AGREE


def _lives(workload: Workload) -> bool:
    # A workload that is being deleted still has pods: it must be gone before another one writes
    # the same checkpoints.
    return not workload.deleted and workload.meaning not in FINAL


def _begin(another: Create) -> Create:
    """Never adopt on a first try: the intent would have been noted before the create."""
    if another.ends:
        foreign = another.ends[-1]
        raise ForeignWorkload(
            f"workload {foreign.name} exists (phase {foreign.phase}), but no try of this run "
            "has submitted it. Either the run was deleted in Airflow and made again: then delete "
            "the workload. Or another Airflow has the same name, as after copying a database: "
            "then give this one a name of its own ([runai] instance_name)."
        )
    return another


def _is_missing(note: Note, ours: Sequence[Numbered]) -> bool:
    return note.workload_id is not None and not any(
        workload.id == note.workload_id or generation > note.generation
        for generation, workload in ours
    )


def _without(note: Note, tries: Tries, on_clear: str, another: Create) -> Create:
    """Go on without the workload if a user cleared the task after it was missed: consent."""
    if on_clear == "restart" and note.missed_at is not None and note.missed_at != tries.max_tries:
        return replace(another, generation=max(another.generation, note.generation + 1))
    raise Missing(
        f"workload {note.name or note.workload_id} (id {note.workload_id}) was submitted, but "
        "cannot be found, nor is it listed as deleted; it may still run, so no second one is "
        "begun. Look yourself, and check that the connection's identity may still see it. If it "
        "is gone for good, clear the task with on_clear='restart'."
    )


def _follow(
    newest: Numbered, tries: Tries, note: Note | None, on_clear: str, another: Create
) -> Create | Adopt:
    generation, workload = newest
    noted_try = note.try_number if note and note.generation == generation else tries.first
    made_by = workload.try_number or noted_try
    cleared = _was_cleared(generation, made_by, tries, note)
    restarts = cleared and on_clear == "restart"
    is_bad_end = workload.meaning in _BAD_ENDS or (note and note.cut_short == workload.id)
    ended_badly = is_bad_end and made_by < tries.current
    # An end without a note is that of another life of this run: ours would have noted its intent.
    is_another_life = note is None and workload.meaning in OVER
    if restarts or ended_badly or is_another_life:
        number = max(another.generation, note.generation if note else 0)
        return replace(another, generation=number, before=workload)
    older = tuple(found for found in another.ends if found is not workload)
    return Adopt(generation, workload, older, cleared)


def _was_cleared(generation: int, made_by: int, tries: Tries, note: Note | None) -> bool:
    """Tell whether a user has cleared the task since; an edited ``retries`` is not a clear."""
    if note is None or note.max_tries is None:
        return made_by < tries.first
    # That a later one was intended has been decided before.
    return generation < note.generation or tries.max_tries != note.max_tries


def differences(
    ours: Mapping[str, Any], theirs: object, path: str = "spec", salt: str = ""
) -> Iterator[str]:
    """
    Yield the differences between an existing workload and what would be submitted.

    Only keys that we would send are compared (a server adds defaults). Values of variables are
    never shown.

    :param salt: of the digests that stand for texts of theirs; see ``secrets.digest``.
    """
    other = theirs if isinstance(theirs, Mapping) else {}
    for key, value in ours.items():
        running = other.get(key)
        if key == "environmentVariables":
            yield from _variables_that_differ(value, running, f"{path}.{key}", salt)
        elif isinstance(value, Mapping):
            yield from differences(value, running, f"{path}.{key}", salt)
        elif not _agree(value, running, salt):
            yield f"{path}.{key}: running with {cut(repr(running))}, now {cut(repr(value))}"


def _variables_that_differ(ours: object, theirs: object, path: str, salt: str) -> Iterator[str]:
    mine, other = _by_name(ours), _by_name(theirs)
    for name in sorted({*mine, *other}):
        agree = _agree(mine.get(name), other.get(name), salt)
        if not agree and not name.startswith("AIRFLOW_RUNAI_"):
            yield f"{path}[{cut(name, 80)}]: another value (not shown)"


def _agree(ours: Any, theirs: Any, salt: str) -> bool:
    """Whether a value is the same, or theirs is the digest of ours."""
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return ours.keys() == theirs.keys() and all(
            _agree(value, theirs[key], salt) for key, value in ours.items()
        )
    return bool(ours == theirs) or (isinstance(ours, str) and digest(ours, salt) == theirs)


def _by_name(entries: object) -> dict[str, Any]:
    listed = entries if isinstance(entries, list) else []
    return {str(entry.get("name")): entry for entry in listed if isinstance(entry, Mapping)}
