"""
Lists the checkpoints under a root, newest first, by names and times; opens no file.

A pointer file such as ``latest`` is not followed: it may name a checkpoint that was never finished.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from airflow_runai.checkpoints.checking.format_error import shown
from airflow_runai.checkpoints.checking.reader import unreadable
from airflow_runai.checkpoints.checking.request import Policy
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.formats import WEIGHTS
from airflow_runai.checkpoints.storage.checkpoint_files import INDEX
from airflow_runai.checkpoints.storage.listing import (
    FileEntry,
    Listing,
    Location,
    children,
    forget_listings,
    is_temporary,
    stat_entry,
)
from airflow_runai.errors import RunaiError

RootCode = Literal[
    "root-missing", "root-is-file", "root-unreadable", "root-empty", "root-too-large"
]

_Natural = tuple[tuple[bool, int, str], ...]

# Scripts keep all sorts of numbers in these; only a step in the name makes one a checkpoint.
_NUMBERS = ".npz"
_SUFFIXES = (*WEIGHTS, INDEX)
_TRAINER_STATE = "trainer_state.json"
# Entries of a directory that are examined for a hint.
_MAX_HINT_ENTRIES = 50
_MAX_NAMES = 5
_SELF_MARKERS = {"manifest.json", _TRAINER_STATE, ".metadata", "latest_checkpointed_iteration.txt"}
_SELF_ENDINGS = (".distcp", "_model_states.pt", "_optim_states.pt")
_POINTER = "latest"
# Parts of a checkpoint that look like a checkpoint themselves.
_PART_PREFIXES = (
    "optimizer",
    "scheduler",
    "scaler",
    "rng_state",
    "training_args",
    "adapter_model-",
    "pytorch_model-",
)
# Directories that count epochs, as in accelerate's examples, are ordered by time.
_EPOCH = re.compile(r"(?:^|[^a-z])epoch[-_=]?\d+", re.IGNORECASE)
# A rounded step, such as checkpoint-100k, gives no order.
_ROUNDED = re.compile(r"(?:^|[^a-z])(?:step|checkpoint|ckpt|iter)[-_=]?\d", re.IGNORECASE)
# Parts of one checkpoint may be numbered by rank; these words count training steps.
_COUNTS = re.compile(r"step|iter", re.IGNORECASE)
# Files such as Lightning's last.ckpt are newer than the best one, whose name has a step.
_LAST = re.compile(r"(?:^|[^a-z])(?:last|latest)(?:[^a-z]|$)", re.IGNORECASE)


class RootProblem(RunaiError, ValueError):
    """
    No checkpoint can be chosen under a root.

    :param code: ``root-missing``, ``root-is-file``, ``root-unreadable``, ``root-empty`` or
        ``root-too-large``.
    """

    def __init__(self, code: RootCode, message: str) -> None:
        super().__init__(message)
        self.code: RootCode = code


@dataclass(frozen=True)
class Candidate:
    """
    A file or directory that looks like a checkpoint.

    :param step: the step in its name, if there is one.
    :param mtime: time of modification in epoch seconds; 0 if the storage has none.
    """

    path: Location
    step: int | None
    mtime: float


def candidates(root: Location, *, policy: Policy | None = None) -> tuple[Candidate, ...]:
    """
    List what looks like a checkpoint, newest first: by step in the name, then by time.

    Names without a step come last, except that ``last`` and ``latest`` are ordered by time. Files
    without a step count only if no ``step-N`` or ``checkpoint-N`` lies beside them. Checkpoints
    still being written or already being deleted (``.tmp-*``, ``.trash-*``, ``*.tmp``) are left out.

    :param root: directory that holds checkpoints; a directory that is itself a checkpoint is its
        only candidate.
    :raises RootProblem: if there is nothing to choose from.
    """
    entries = _entries(root, (policy or Policy()).entry_limit)
    named, others = _likely(entries)
    if _is_itself(entries, [entry.path.name for entry in named]):
        return (Candidate(root, step_in_name(root.name), 0.0),)
    if not any(entry.kind == "directory" for entry in named):
        named += others
    listed = [Candidate(entry.path, step_in_name(entry.path.name), entry.mtime) for entry in named]
    if not listed:
        raise _problem("root-empty", root, _nothing_in(entries))
    return tuple(sorted(listed, key=lambda candidate: _age(candidate, listed), reverse=True))


def _likely(entries: list[FileEntry]) -> tuple[list[FileEntry], list[FileEntry]]:
    """Return what looks like a checkpoint: with a step in the name, and without."""
    named: list[FileEntry] = []
    others: list[FileEntry] = []
    for entry in filter(_is_checkpoint, entries):
        has_step = step_in_name(entry.path.name) is not None
        (named if has_step else others).append(entry)
    return named, others


def _is_itself(entries: list[FileEntry], named: list[str]) -> bool:
    """Whether the root itself is a checkpoint and its entries are parts."""
    names = {entry.path.name for entry in entries}
    if named:
        # DeepSpeed's part of a Trainer's checkpoint; the Trainer also leaves its state beside
        # checkpoint-N.
        return _TRAINER_STATE in names and all(name.startswith("global_step") for name in named)
    if _SELF_MARKERS & names or any(name.endswith(_SELF_ENDINGS) for name in names):
        return True
    # DeepSpeed's folder may have any name; a pointer file names it.
    return _POINTER in names and any(
        entry.kind == "directory" and not is_temporary(entry.path.name) for entry in entries
    )


def _age(candidate: Candidate, others: list[Candidate]) -> tuple[int, float, bool, _Natural]:
    """
    Return the sort key: step, then time.

    Of equally old ones, the one with a step in its name comes first: the other may be a link to it.
    """
    name, mtime = candidate.path.name, candidate.mtime
    step = -1 if candidate.step is None else candidate.step
    if candidate.step is None and _LAST.search(name):
        older = [other for other in others if other.mtime <= mtime]
        step = max([other.step for other in older if other.step is not None], default=step)
    return step, mtime, candidate.step is not None, natural(name)


def natural(name: str) -> _Natural:
    """Return the key that sorts ``epoch_9`` before ``epoch_12``."""
    parts = re.findall(r"\d{1,18}|\D+", name, re.ASCII)
    # Numbers and texts cannot be compared with each other: a flag goes first.
    return tuple(
        (True, int(part), part) if part.isdecimal() else (False, 0, part) for part in parts
    )


def checkpoints_in(tree: Listing) -> list[str]:
    """
    Return the names of the checkpoints in a listed directory; none if it is a checkpoint itself.

    It is one if its name has a step, or if it holds a pointer or a manifest.
    """
    own = {_POINTER, *_SELF_MARKERS} - {_TRAINER_STATE}
    if tree.single or step_in_name(tree.root.name) is not None:
        return []
    if any(map(tree.has_top_level, own)):
        return []
    folders = {name.partition("/")[0] for name in tree.files if "/" in name}
    found = [folder for folder in folders if _counts_steps(tree, folder)]
    if not found:
        names = (name for name in tree.files if "/" not in name and name.endswith(WEIGHTS))
        files = [name for name in names if _COUNTS.search(name)]
        steps = {step_in_name(name) for name in files} - {None}
        # One file with a step may be a part beside others.
        found = files if len(steps) > 1 else []
    return sorted(found, key=natural)


def _counts_steps(tree: Listing, folder: str) -> bool:
    if is_temporary(folder) or step_in_name(folder) is None:
        return False
    return not folder.isdigit() or f"{folder}/_CHECKPOINT_METADATA" in tree.files


def _is_checkpoint(entry: FileEntry) -> bool:
    name = entry.path.name
    if is_temporary(name) or name.startswith((".", *_PART_PREFIXES)):
        return False
    counted = step_in_name(name) is not None or _EPOCH.search(name) or _ROUNDED.search(name)
    if entry.kind in ("directory", "gone") and counted:
        return True
    if name.endswith(_NUMBERS) and step_in_name(name) is None:
        return False
    return entry.kind != "directory" and name.endswith(_SUFFIXES)


def _entries(root: Location, limit: int) -> list[FileEntry]:
    if _kind(root) != "directory":
        text = "is a file; a directory with checkpoints is expected; to check one file use check"
        raise _problem("root-is-file", root, text)
    try:
        found = children(root, limit)
        listed = None if found is None else list(islice(found, limit + 1))
    except Exception as error:  # storage libraries raise what they like
        raise _problem("root-unreadable", root, unreadable(error)) from None
    if listed is None or len(listed) > limit:
        text = f"more than {limit} entries; at most {limit} are listed"
        advice = "remove old ones or name a directory below"
        raise _problem("root-too-large", root, f"{text}; {advice}")
    return [_entry(child) for child in listed]


def _kind(root: Location) -> str:
    try:
        forget_listings(root)
        return stat_entry(root).kind
    except FileNotFoundError:
        text = "does not exist; a directory with checkpoints is expected"
        advice = "check the path, its mount and the path mapping"
        raise _problem("root-missing", root, f"{text}; {advice}") from None
    except Exception as error:  # storage libraries raise what they like
        raise _problem("root-unreadable", root, unreadable(error)) from None


def _problem(code: RootCode, root: Location, text: str) -> RootProblem:
    return RootProblem(code, f"checkpoint root {root}: {text}")


def _entry(child: Location) -> FileEntry:
    try:
        return stat_entry(child)
    except Exception:  # storage libraries raise what they like
        # It stays a candidate, so that a report says why it was not chosen.
        return FileEntry(child, "gone")


def _nothing_in(entries: list[FileEntry]) -> str:
    number = "1 entry" if len(entries) == 1 else f"{len(entries)} entries"
    counts = f"{number}{_names(entries)}"
    if below := _below(entries):
        text = f"no checkpoint, but some lie below: {', '.join(below[:5])}"
        return f"{counts}, {text}; name one of these"
    unfinished = sum(1 for entry in entries if is_temporary(entry.path.name))
    counts += f", {unfinished} of them unfinished (temporary names)"
    files = f"files ending in {' '.join(_SUFFIXES)}"
    allowed = f"step-N or checkpoint-N directories, or {files}, are expected"
    advice = "check that the training saves here"
    return f"{counts}, no checkpoint; {allowed}; {advice}"


def _names(entries: list[FileEntry]) -> str:
    """Return the first names in alphabetical order, in brackets; nothing for no entries."""
    names = sorted(entry.path.name for entry in entries)
    listed = [*map(shown, names[:_MAX_NAMES]), *(["…"] if len(names) > _MAX_NAMES else [])]
    return f" ({', '.join(listed)})" if listed else ""


def _below(entries: list[FileEntry]) -> list[str]:
    """Return the directories, one or two levels down, that hold checkpoints."""
    finished = [entry for entry in entries if not is_temporary(entry.path.name)]
    folders = [
        folder
        for entry in finished[:_MAX_HINT_ENTRIES]
        if entry.kind == "directory"
        for folder in _folders(entry)
    ]
    return sorted((name for name, place in folders if _holds_checkpoints(place)), key=natural)


def _folders(entry: FileEntry) -> list[tuple[str, Location]]:
    name = entry.path.name
    folders = [(name, entry.path)]
    for child in _inside(entry.path):
        if child.kind == "directory" and not _is_checkpoint(child):
            folders.append((f"{name}/{child.path.name}", child.path))
    return folders


def _holds_checkpoints(place: Location) -> bool:
    return any(map(_is_checkpoint, _inside(place)))


def _inside(place: Location) -> Iterator[FileEntry]:
    try:
        listed = list(children(place, _MAX_HINT_ENTRIES) or ())
    except Exception:  # any error of a storage library: this is only a hint
        return iter(())
    return map(_entry, listed[:_MAX_HINT_ENTRIES])
