"""
Faults that change only an answer's content, as a newer, poorer or odd server would write it.

Each takes the answer of an endpoint and returns what the client gets instead; the world is not
touched.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from airflow_runai.emulator import phases
from airflow_runai.emulator.faults import Fault
from airflow_runai.emulator.replies import JsonObject

_LISTS = frozenset(
    {
        "workloads",
        "pods",
        "records",
        "events",
        "projects",
        "departments",
        "nodePools",
    }
)
_MESSAGES = frozenset(
    {
        "message",
        "phaseMessage",
        "userMessage",
        "reason",
    }
)
_PREEMPTED = re.compile("preempt(ed|ing|ion)", re.IGNORECASE)


def coloured(payload: Any, faults: Mapping[str, Fault]) -> Any:
    """Return the payload as the server of these faults (by kind) would write it."""
    for kind, fault in faults.items():
        if kind in _COLOURS:
            payload = _COLOURS[kind](payload, fault)
    return payload


def _everywhere(change: Callable[[JsonObject], JsonObject], value: Any) -> Any:
    """Apply a change to each object, the inner ones first."""
    if isinstance(value, list):
        return [_everywhere(change, item) for item in value]
    if not isinstance(value, dict):
        return value
    return change({key: _everywhere(change, item) for key, item in value.items()})


def _future(payload: Any, fault: Fault) -> Any:
    def renewed(item: JsonObject) -> JsonObject:
        for key in ("phase", "actualPhase"):
            if key in item:
                item[key] = phases.RENAMED.get(item[key], item[key])
                item["somethingNew"] = {
                    "nested": [
                        "from",
                        "a",
                        "newer",
                        "server",
                    ]
                }
        return item

    return _everywhere(renewed, payload)


def _missing_fields(payload: Any, fault: Fault) -> Any:
    def poorer(item: JsonObject) -> JsonObject:
        return {key: value for key, value in item.items() if key not in fault.missing}

    return _everywhere(poorer, payload)


def _replace(payload: Any, fault: Fault) -> Any:
    def replaced(item: JsonObject) -> JsonObject:
        return {key: fault.text if key in fault.fields else value for key, value in item.items()}

    return _everywhere(replaced, payload)


def _unnamed_preemption(payload: Any, fault: Fault) -> Any:
    def reworded(item: JsonObject) -> JsonObject:
        for key in _MESSAGES & item.keys():
            if isinstance(item[key], str):
                item[key] = _PREEMPTED.sub("Evicted", item[key])
        return item

    return _everywhere(reworded, payload)


def _empty_list(payload: Any, fault: Fault) -> Any:
    if isinstance(payload, dict) and any(isinstance(payload.get(key), list) for key in _LISTS):
        return {key: [] for key in payload.keys() & _LISTS}
    # The clusters are a bare list.
    return [] if isinstance(payload, list) else payload


_COLOURS: dict[str, Callable[[Any, Fault], Any]] = {
    "future": _future,
    "missing_fields": _missing_fields,
    "replace": _replace,
    "unnamed_preemption": _unnamed_preemption,
    "empty_list": _empty_list,
}
