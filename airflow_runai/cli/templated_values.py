"""Which parts of a specification only rendering will tell: Jinja, and results of other tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.core.jinja import is_templated
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.templates.merging import leaves
from airflow_runai.errors import SpecError

#: Arguments of an operator that add nothing to the specification.
_BESIDE = ("project", "cluster", "workload_name", "runai_conn_id", "limits")
_PLAIN = (str, int, float, bool, type(None), Mapping, list, tuple)


def known_part(spec: Any, expanded: tuple[str, ...] = ()) -> tuple[WorkloadSpec, list[str]]:
    """
    Check what is final.

    :param expanded: arguments that differ between the instances of a mapped task.
    :return: the checked part, and the keys of all that keeps it from being the whole.
    :raises SpecError: if something final is wrong.
    """
    differing = [name for name in expanded if name not in _BESIDE]
    try:
        return WorkloadSpec.from_mapping(spec), differing
    except SpecError:
        later = [*unrendered(spec), *differing]
        if not later:
            raise
    return WorkloadSpec.from_mapping({"image": "known later", **without_unrendered(spec)}), later


def unrendered(spec: Any) -> list[str]:
    """Return the dotted keys of all values that are not final."""
    return [f"spec.{key}" if key else "spec" for key, value in leaves(spec) if not _final(value)]


def without_unrendered(spec: Any) -> dict[str, Any]:
    """
    Return what is final; an image that is not stays, because without one nothing can be checked.
    """
    if not isinstance(spec, Mapping):
        return {}
    found = {
        key: _final_part(value)
        for key, value in spec.items()
        if key == "image" or _has_final(value)
    }
    return found | ({"image": str(spec["image"])} if spec.get("image") is not None else {})


def _final_part(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _final_part(entry) for key, entry in value.items() if _has_final(entry)}
    return value


def _has_final(value: Any) -> bool:
    return isinstance(value, Mapping) or _final(value)


def _final(value: Any) -> bool:
    if isinstance(value, str):
        return not is_templated(value)
    if isinstance(value, Mapping):
        return all(map(_final, value.values()))
    return (
        all(map(_final, value)) if isinstance(value, (list, tuple)) else isinstance(value, _PLAIN)
    )
