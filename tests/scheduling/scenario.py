"""
Scenarios: the events of a small cluster, step by step, and the decisions of the real KAI.

A file is foreign data; it is checked against a schema before it is used.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]  # ships no types

PRIORITIES = {"train": 50, "build-preemptible": 75, "build": 100, "inference": 125}

_NAME = {"type": "string", "maxLength": 100}
_GPUS = {"type": "number", "minimum": 0, "maximum": 10_000}
_NAMES = {"type": "array", "items": _NAME, "maxItems": 1_000}


def _thing(required: dict[str, Any], **optional: Any) -> dict[str, Any]:
    return {"type": "object", "properties": required | optional, "required": list(required)}


_QUOTA = {"limit": _GPUS, "weight": _GPUS}
_JOB = _thing(
    {
        "name": _NAME,
        "queue": _NAME,
        "pods": {"type": "integer", "minimum": 1, "maximum": 1_000},
        "gpus": {"type": "integer", "minimum": 0, "maximum": 10_000},
        "priority": {"anyOf": [{"type": "integer"}, {"enum": list(PRIORITIES)}]},
    },
    preemptible={"type": "boolean"},
    min={"type": "integer", "minimum": 1},
)
_EVICTED = _thing({"job": _NAME, "by": {"enum": ["reclaim", "preempt", "consolidation", "node"]}})
_OUTCOME = _thing(
    {
        "running": {"type": "object", "additionalProperties": _NAMES, "maxProperties": 1_000},
        "evicted": {"type": "array", "items": _EVICTED},
        "gpus": {"type": "object", "additionalProperties": _GPUS},
    }
)
_STEPS = {
    "submit": {"job": _JOB},
    "finish": {"job": _NAME},
    "quota": {"queue": _NAME, "deserved": _GPUS},
    "add_node": {"node": _NAME, "gpus": {"type": "integer", "minimum": 0, "maximum": 100}},
    "remove_node": {"node": _NAME},
}
_STEP = {
    "oneOf": [
        _thing(
            {"do": {"const": do}, **fields, "real": _OUTCOME},
            unsure={"type": "array", "items": _OUTCOME},
            **_QUOTA,
        )
        for do, fields in _STEPS.items()
    ]
}
SCHEMA = _thing(
    {
        "nodes": {
            "type": "array",
            "items": _thing({"name": _NAME, "gpus": {"type": "integer", "minimum": 0}}),
        },
        "queues": {"type": "array", "items": _thing({"name": _NAME, "deserved": _GPUS}, **_QUOTA)},
        "steps": {"type": "array", "items": _STEP},
    }
)


def read(path: Path) -> dict[str, Any]:
    """
    Read a scenario.

    :raises ValueError: there is no such file, or it is not a scenario; says where, and what is wrong.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON: {error}") from error
    worst = jsonschema.exceptions.best_match(
        jsonschema.Draft202012Validator(SCHEMA).iter_errors(found)
    )
    if worst is not None:
        raise ValueError(f"{path}: is not a scenario: {worst.json_path}: {worst.message[:200]}")
    for wrong in _dangling(found):
        raise ValueError(f"{path}: is not a scenario: {wrong}")
    return dict(found)


def _dangling(scenario: dict[str, Any]) -> Iterator[str]:
    """Find queues and pods that a step names but no step has created."""
    queues = {queue["name"] for queue in scenario["queues"]}
    pods: dict[str, int] = {}
    for number, step in enumerate(scenario["steps"]):
        queue = step["job"]["queue"] if step["do"] == "submit" else step.get("queue")
        if queue is not None and queue not in queues:
            yield f"$.steps[{number}]: there is no queue {queue!r}"
        if step["do"] == "submit":
            pods[step["job"]["name"]] = step["job"]["pods"]
        for outcome in (step["real"], *step.get("unsure", ())):
            for job, nodes in outcome["running"].items():
                if len(nodes) > pods.get(job, 0):
                    yield f"$.steps[{number}]: of job {job!r}, {len(nodes)} pods run, but {pods.get(job, 0)} were made"
