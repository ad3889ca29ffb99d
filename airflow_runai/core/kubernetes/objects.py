"""Fields of Kubernetes objects, read as data of others: what has another shape is absent."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from sys import intern
from typing import Any

from airflow_runai.core.mask import clean
from airflow_runai.core.texts import TEXT_LIMIT, printable
from airflow_runai.core.workload import epoch

#: Whose finalizer a pod carries until its Job has counted it.
TRACKING = "batch.kubernetes.io/job-tracking"
#: Rows of a list in an object that are looked at.
_MAX_ROWS = 200
#: No number that is read here is greater; it also bounds what ``int`` is asked to read.
_GREATEST = 10**18


def at(found: object, *keys: str) -> Any:
    """Return what lies at a path; ``None`` where there is nothing."""
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found


def rows(found: object, *keys: str) -> Iterator[Mapping[str, Any]]:
    """Yield the mappings in the list at a path."""
    listed = at(found, *keys)
    for row in listed[:_MAX_ROWS] if isinstance(listed, (list, tuple)) else ():
        if isinstance(row, Mapping):
            yield row


def word(found: object, *keys: str) -> str:
    """Return the text at a path, printable; an empty one for anything else."""
    value = at(found, *keys)
    return printable(value, TEXT_LIMIT) if isinstance(value, str) else ""


def shared_word(found: object, *keys: str) -> str:
    """Return the same; for what thousands of objects say alike, which is then one text."""
    return intern(str(word(found, *keys)))


def sentence(found: object, *keys: str) -> str:
    """Return the first line of the text at a path, without secrets; an empty one if it is none."""
    value = at(found, *keys)
    lines = value[:4096].strip().splitlines() if isinstance(value, str) else []
    return clean(lines[0]) if lines else ""


def number(found: object, *keys: str) -> int | None:
    """Return the whole number at a path."""
    value = at(found, *keys)
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return value if is_number and abs(value) < _GREATEST else None


def count(found: object, *keys: str) -> int:
    """Return the number at a path; a number that is 0 is absent in these objects."""
    return max(0, number(found, *keys) or 0)


def moment(found: object, *keys: str) -> float | None:
    """Return the time at a path in epoch seconds."""
    return epoch(at(found, *keys))


def version(found: object) -> int:
    """Return the resourceVersion of an object or list; 0 where there is none."""
    return version_number(at(found, "metadata", "resourceVersion"))


def version_number(text: object) -> int:
    """Return a resourceVersion as a number; 0 for what is none."""
    # One counter of the whole store: greater is newer, across kinds.
    return int(text) if isinstance(text, str) and text.isdecimal() and len(text) < 19 else 0


def controller(found: object, kind: str) -> str:
    """Return the uid of the object of this kind that controls another one."""
    owners = rows(found, "metadata", "ownerReferences")
    uids = (word(one, "uid") for one in owners if at(one, "kind") == kind)
    return next(uids, "")


def conditions(found: object) -> dict[str, Mapping[str, Any]]:
    """Return the conditions of an object by type."""
    return {word(one, "type"): one for one in rows(found, "status", "conditions")}


def holds(condition: Mapping[str, Any] | None) -> bool:
    """Whether a condition is there and true."""
    return bool(at(condition, "status") == "True")
