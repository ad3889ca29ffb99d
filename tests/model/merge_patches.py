"""Merge patches (RFC 7396), and what they may not change."""

from __future__ import annotations

import copy
from typing import Any

from tests.model.refusals import invalid, modified
from tests.model.resources import JOBS, Object, Resource

#: What a Job's author cannot change any more.
_FIXED = ("template", "completions", "completionMode", "selector", "podFailurePolicy")


def merged(resource: Resource, stands: Object, patch: Object) -> Object:
    """Return the state that a patch asks for; refuse what cannot be."""
    name = stands["metadata"]["name"]
    told = patch.get("metadata") or {}
    if (
        told.get("resourceVersion", stands["metadata"]["resourceVersion"])
        != (stands["metadata"]["resourceVersion"])
    ):
        raise modified(resource, name)
    if told.get("uid", stands["metadata"]["uid"]) != stands["metadata"]["uid"]:
        raise invalid(resource, name, "metadata.uid", "Invalid value: field is immutable")
    wanted: Object = _merge(stands, patch)
    wanted["status"] = copy.deepcopy(stands.get("status"))  # it has a door of its own
    if wanted["status"] is None:
        del wanted["status"]
    for field in _FIXED if resource == JOBS else ():
        if wanted["spec"].get(field) != stands["spec"].get(field):
            raise invalid(resource, name, f"spec.{field}", "Invalid value: field is immutable")
    return wanted


def _merge(stands: Any, patch: Any) -> Any:
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    merged = copy.deepcopy(stands) if isinstance(stands, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merge(merged.get(key), value)
    return merged
