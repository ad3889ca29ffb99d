"""A Job's ``podFailurePolicy``: what the end of a failed pod counts for."""

from __future__ import annotations

from typing import Any

from tests.model.resources import Object

COUNT, IGNORE, FAIL_JOB = "Count", "Ignore", "FailJob"


def action_for(spec: Object, pod: Object) -> tuple[str, str]:
    """Return the action of the first rule that fits, and the words of a failed Job."""
    for index, rule in enumerate((spec.get("podFailurePolicy") or {}).get("rules") or ()):
        fits = _fits(rule, pod)
        if fits:
            where = f"{pod['metadata']['namespace']}/{pod['metadata']['name']}"
            return rule[
                "action"
            ], f"Pod {where} has {fits} matching {rule['action']} rule at index {index}"
    return COUNT, ""


def _fits(rule: Object, pod: Object) -> str:
    """Say what of the pod fits a rule; empty if nothing does."""
    status: Any = pod.get("status") or {}
    for wanted in rule.get("onPodConditions") or ():
        for one in status.get("conditions") or ():
            if (one["type"], one["status"]) == (wanted["type"], wanted.get("status", "True")):
                return f"condition {one['type']}"
    codes: Any = rule.get("onExitCodes")
    for container in status.get("containerStatuses") or ():
        code = (container["state"].get("terminated") or {}).get("exitCode")
        if codes and code and (code in codes["values"]) == (codes["operator"] == "In"):
            return f"exit code {code}"
    return ""
