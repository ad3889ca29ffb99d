"""Every field of a specification, as its own tables have it: the paths of all that an author can set."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_runai.core.fields import Part, Parts, declared
from airflow_runai.core.spec import WorkloadSpec


def leaves(cls: type = WorkloadSpec, prefix: str = "") -> Iterator[str]:
    """Yield paths such as ``image``, ``compute.gpu_devices`` and ``storage.pvc[].claim``."""
    for name, item in declared(cls).items():
        check = item.metadata["check"]
        if isinstance(check, Part):
            brackets = "[]" if isinstance(check, Parts) else ""
            yield from leaves(check.cls, f"{prefix}{name}{brackets}.")
        else:
            yield f"{prefix}{name}"


def covers(field: str, leaf: str) -> bool:
    """Tell whether a row for ``field`` is about ``leaf``."""
    return leaf == field or leaf.startswith((f"{field}.", f"{field}[]."))


def applies(leaf: str, kind: str) -> bool:
    """Tell whether a field can be set for a kind of object at all."""
    if kind == "Job":
        return not leaf.startswith("distributed.")
    return leaf not in ("completions", "parallelism")
