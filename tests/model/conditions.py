"""Conditions in an object's status."""

from __future__ import annotations

from tests.model.clock import timestamp
from tests.model.resources import Object


def condition(thing: Object, type: str) -> Object | None:
    """Return the condition of a type that is true."""
    listed = (thing.get("status") or {}).get("conditions") or ()
    return next((one for one in listed if one["type"] == type and one["status"] == "True"), None)


def set_condition(
    thing: Object, now: float, type: str, reason: str, message: str = "", status: str = "True"
) -> None:
    """Set one condition of an object that is being edited; its time changes with its status."""
    conditions = thing.setdefault("status", {}).setdefault("conditions", [])
    stood = next((one for one in conditions if one["type"] == type), None)
    if stood is not None and stood["status"] == status and stood.get("reason") == reason:
        return
    made = {"type": type, "status": status, "reason": reason, "message": message}
    made |= {"lastTransitionTime": timestamp(now)}
    if stood is None:
        conditions.append(made)
    else:
        stood.update(made)
