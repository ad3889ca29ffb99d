"""
What a policy of Run:ai would refuse of a specification, as far as its rules can be read.

A prediction for people, made before anything is submitted. The server decides: a rule that this
page does not know is passed over, and nothing that is found here ever stops a submission. Shapes
are those of the control plane's API description (``/api/v2/policy``), 2.18–2.24: a tree like the
specification's, whose leaves are rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_runai.core.texts import cut

_RULES = {"required", "canEdit", "min", "max", "step", "options"}
_SUFFIXES = {"": 1, "m": 1e-3, **{unit: 1000**n for n, unit in enumerate("kMGTPE", 1)}}
_SUFFIXES |= {f"{unit.upper()}i": 1024**n for n, unit in enumerate("kMGTPE", 1)}


def breaches(policy: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """
    Return a sentence for each rule that a specification breaks.

    :param policy: ``rules`` and ``defaults``, as the control plane has them.
    :param spec: the body's ``spec``, in the server's spelling.
    """
    rules, defaults = _mapping(policy.get("rules")), _mapping(policy.get("defaults"))
    if {"worker", "master"} & set(
        rules
    ):  # a distributed workload's; its master is left to the server
        rules, defaults = _mapping(rules.get("worker")), _mapping(defaults.get("worker"))
    return [cut(words) for words in _walk(rules, spec, defaults, "spec")]


def _walk(rules: Mapping[str, Any], value: Any, default: Any, path: str) -> Iterator[str]:
    if any(name in _RULES and not isinstance(rule, Mapping) for name, rule in rules.items()):
        yield from _leaf(rules, value, default, path)
        return
    if "instances" in rules:
        if _mapping(rules["instances"]).get("canAdd") is False and value:
            yield f"{path}: {len(value)} of its own; the policy lets nobody add any"
        return
    for name, rule in rules.items():
        if isinstance(rule, Mapping):
            yield from _walk(
                rule, _mapping(value).get(name), _mapping(default).get(name), f"{path}.{name}"
            )


def _leaf(rule: Mapping[str, Any], value: Any, default: Any, path: str) -> Iterator[str]:
    if value is None:
        if rule.get("required") and default is None:
            yield f"{path}: missing; the policy requires it"
        return
    if rule.get("canEdit") is False and value != default:
        yield f"{path}: {value!r}; the policy lets nobody change it" + (
            f" (it is {default!r})" if default else ""
        )
    found, least, most = _amount(value), _amount(rule.get("min")), _amount(rule.get("max"))
    if found is not None and least is not None and found < least:
        yield f"{path}: {value!r}; the policy allows {rule['min']!r} or more"
    if found is not None and most is not None and found > most:
        yield f"{path}: {value!r}; the policy allows at most {rule['max']!r}"
    options = [
        entry.get("value") for entry in rule.get("options") or [] if isinstance(entry, Mapping)
    ]
    if options and not isinstance(value, list) and value not in options:
        yield f"{path}: {value!r}; the policy allows {', '.join(map(str, options))}"


def _amount(value: Any) -> float | None:
    """Return a number, or the number that a Kubernetes quantity stands for."""
    if isinstance(value, bool):
        return None
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([A-Za-z]{0,2})", str(value))
    return float(found[1]) * _SUFFIXES[found[2]] if found and found[2] in _SUFFIXES else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}
