"""The parts of a specification that are known only after rendering: Jinja, and XCom results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.core.jinja import is_templated
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.templates.merging import leaves
from airflow_runai.errors import SpecError

#: Arguments of an operator that add nothing to the specification.
_OUTSIDE_SPEC = ("project", "cluster", "workload_name", "runai_conn_id", "timeouts")
_PLAIN = (str, int, float, bool, type(None), Mapping, list, tuple)


def known_part(spec: Any, expanded: tuple[str, ...] = ()) -> tuple[WorkloadSpec, list[str]]:
    """
    Check the values that are final.

    :param expanded: arguments that differ between the instances of a mapped task.
    :return: the checked part, and the keys that are known only later.
    :raises SpecError: if something final is wrong.
    """
    differing = [name for name in expanded if name not in _OUTSIDE_SPEC]
    try:
        # Most texts are valid before they are rendered.
        return WorkloadSpec.from_mapping(spec), differing
    except SpecError:
        later = [*unrendered(spec), *differing]
        if not later:
            raise
    # An image is required; one that comes from a template must not hide other mistakes.
    return WorkloadSpec.from_mapping({"image": "known later", **without_unrendered(spec)}), later


def unrendered(spec: object) -> list[str]:
    """Return the dotted keys of all values that are not final."""
    return [f"spec.{key}" if key else "spec" for key, value in leaves(spec) if not _is_final(value)]


def without_unrendered(spec: object) -> dict[str, object]:
    """Return the final values, and the image in any case: a specification requires one."""
    if not isinstance(spec, Mapping):
        return {}
    final = _final_part(spec)
    if spec.get("image") is not None:
        final["image"] = str(spec["image"])
    return final


def _final_part(mapping: Mapping[str, object]) -> dict[str, object]:
    final: dict[str, object] = {}
    for key, value in mapping.items():
        if isinstance(value, Mapping):
            final[key] = _final_part(value)
        elif _is_final(value):
            final[key] = value
    return final


def _is_final(value: object) -> bool:
    if isinstance(value, str):
        return not is_templated(value)
    if isinstance(value, Mapping):
        return all(map(_is_final, value.values()))
    if isinstance(value, (list, tuple)):
        return all(map(_is_final, value))
    return isinstance(value, _PLAIN)
