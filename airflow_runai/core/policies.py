"""
The parts of a specification that a Run:ai policy would refuse, as far as its rules can be read.

A prediction for people, made before anything is submitted. The server decides: an unknown rule is
passed over, and nothing that is found here ever stops a submission. Shapes
are those of the control plane's API description (``/api/v2/policy``), 2.18–2.24: a tree like the
specification's, whose leaves are rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.texts import cut

_RULES = {"required", "canEdit", "min", "max", "step", "options"}
_SUFFIXES = {"": 1, "m": 1e-3, **{unit: 1000**n for n, unit in enumerate("kMGTPE", 1)}}
_SUFFIXES |= {f"{unit.upper()}i": 1024**n for n, unit in enumerate("kMGTPE", 1)}


def breaches(policy: JsonMapping, spec: JsonMapping) -> list[str]:
    """
    Return a sentence for each rule that a specification breaks.

    :param policy: ``rules`` and ``defaults``, as the control plane has them.
    :param spec: the body's ``spec``, in the server's spelling.
    """
    rules, defaults = _mapping(policy.get("rules")), _mapping(policy.get("defaults"))
    if "worker" in rules or "master" in rules:
        # A distributed workload's; its master is left to the server.
        rules, defaults = _mapping(rules.get("worker")), _mapping(defaults.get("worker"))
    return [cut(words) for words in _walk(rules, spec, defaults, "spec")]


def _walk(rules: JsonMapping, value: Any, default: Any, path: str) -> Iterator[str]:
    # A leaf is known by its rules; a field of the same name ("options") would hold a mapping.
    if any(name in _RULES and not isinstance(rule, Mapping) for name, rule in rules.items()):
        yield from _leaf(rules, value, default, path)
    elif "instances" in rules:
        if _mapping(rules["instances"]).get("canAdd") is False and value:
            yield f"{path}: {len(value)} of its own; the policy lets no one add any"
    else:
        values, defaults = _mapping(value), _mapping(default)
        for name, rule in rules.items():
            if isinstance(rule, Mapping):
                yield from _walk(rule, values.get(name), defaults.get(name), f"{path}.{name}")


def _leaf(rule: JsonMapping, value: Any, default: Any, path: str) -> Iterator[str]:
    if value is None:
        if rule.get("required") and default is None:
            yield f"{path}: missing; the policy requires it"
        return
    if rule.get("canEdit") is False and value != default:
        fixed = f" (it is {default!r})" if default else ""
        yield f"{path}: {value!r}; the policy lets no one change it{fixed}"
    yield from _outside_range(rule, value, path)
    listed = rule.get("options") or []
    options = [entry.get("value") for entry in listed if isinstance(entry, Mapping)]
    if options and not isinstance(value, list) and value not in options:
        yield f"{path}: {value!r}; the policy allows {', '.join(map(str, options))}"


def _outside_range(rule: JsonMapping, value: Any, path: str) -> Iterator[str]:
    amount, low, high = _amount(value), _amount(rule.get("min")), _amount(rule.get("max"))
    if amount is None:
        return
    if low is not None and amount < low:
        yield f"{path}: {value!r}; the policy allows {rule['min']!r} or more"
    if high is not None and amount > high:
        yield f"{path}: {value!r}; the policy allows at most {rule['max']!r}"


def _amount(value: Any) -> float | None:
    """Return a number, or the number that a Kubernetes quantity stands for."""
    if isinstance(value, bool):
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]{0,2})", str(value))
    return float(match[1]) * _SUFFIXES[match[2]] if match and match[2] in _SUFFIXES else None


def _mapping(value: Any) -> JsonMapping:
    return value if isinstance(value, Mapping) else {}
