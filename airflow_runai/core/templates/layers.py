"""
Layers of a specification, merged from below to above, with their locks.

A layer is a template, or the task's own keys. Each value of the result has an owner: the layer that
set it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce

from airflow_runai.core.command_line.line import Line, Words, completed, with_git
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.templates.keys import MISSING, alternatives, dropped, has_value, value_at
from airflow_runai.core.templates.kubernetes_keys import EVERY
from airflow_runai.core.templates.merging import leaves, overlay, same
from airflow_runai.core.templates.template import CALL, Template, parse_keys
from airflow_runai.core.templates.text import Path
from airflow_runai.core.texts import cut

_GIT = ("storage", "git")
_WORDS = ("command", "args")
#: Keys below which values may be secrets.
_NOT_SHOWN = {"environment", "raw", "environmentVariables", *_WORDS}


def settled(templates: Sequence[Template], own: Template) -> list[Template]:
    """Read ConfigMaps as the lines that they stand for, and settle which layer has the words."""
    said, words = own.spec, own.line.words if own.line else None
    beneath = []
    for template in templates:
        layer = template
        if template.line:
            layer = replace(template, spec=template.line.said)
            # The words of the task's line replace those of a ConfigMap as a whole, unless both have
            # a flag for each.
            if words and (words, template.line.words) != ("flags", "flags"):
                layer = replace(layer, spec=_without_words(layer.spec))
                own = replace(own, spec=_as_template_means(said, words, template.line.words))
        beneath.append(layer)
    return [*beneath, own]


def _as_template_means(spec: JsonMapping, words: Words, of_template: Words | None) -> JsonMapping:
    """Take arguments for a command if the line does not decide it and the template's words are."""
    is_undecided = words == "either" or (words == "flags" and "command" not in spec)
    if is_undecided and of_template == "command" and "args" in spec:
        return {**dropped(spec, ("args",)), "command": spec["args"]}
    return spec


def _without_words(spec: JsonMapping) -> JsonMapping:
    return {key: value for key, value in spec.items() if key not in _WORDS}


def merged(layers: Sequence[Template], problems: list[str]) -> tuple[JsonObject, dict[str, str]]:
    """
    Return the specification of all layers, and the owner of each value.

    :param problems: gets a sentence for each locked key that a layer changes.
    """
    spec: JsonObject = {}
    owners: dict[str, str] = {}
    locks: list[tuple[Path, Template]] = []
    for layer in _without_replaced(layers):
        before, spec = spec, overlay(spec, layer.spec)
        problems += [
            _refusal(path, owner, layer)
            for path, owner in locks
            if not same(value_at(before, path), value_at(spec, path))
        ]
        owners = _owners(before, spec, owners, layer.name)
        # Locks hold from the next layer on: the layer that sets them may still set the value.
        for path in _locked(layer):
            locks += [(alternative, layer) for alternative in alternatives(path)]
    return _with_clone(spec, layers, problems), owners


def _without_replaced(layers: Sequence[Template]) -> list[Template]:
    """Drop each replaceable key of a layer that a layer above sets."""
    result = []
    for index, layer in enumerate(layers):
        above = [upper.spec for upper in layers[index + 1 :]]
        spec = layer.spec
        for paths in map(parse_keys, layer.replaceable):
            if any(has_value(upper, path) for upper in above for path in paths):
                spec = reduce(dropped, paths, spec)
        result.append(replace(layer, spec=spec))
    return result


def _owners(
    before: JsonMapping, after: JsonMapping, owners: Mapping[str, str], layer: str
) -> dict[str, str]:
    # A layer that only repeats a value does not become its owner.
    values = dict(leaves(before))
    return {
        key: owners[key] if key in owners and same(values[key], value) else layer
        for key, value in leaves(after)
        if key
    }


def _with_clone(spec: JsonObject, layers: Sequence[Template], problems: list[str]) -> JsonObject:
    """Add the repository that lines name together; a lock beneath one of them holds it as well."""
    lines: list[Line] = []
    refusals: list[str] = []
    result, owner = spec, None
    for layer in layers:
        if layer.line and layer.line.git:
            lines.append(layer.line)
            try:
                before, result = result, with_git(spec, lines)
            except ValueError as error:
                problems.append(f"spec.storage.git: {error}")
                return spec
            if owner and not same(before, result):
                refusals.append(_refusal(_GIT, owner, layer))
        if owner is None and not {_GIT, _GIT[:1]}.isdisjoint(_locked(layer)):
            owner = layer
    problems += refusals
    return result


def _locked(layer: Template) -> Iterator[Path]:
    return (path for key in layer.locked for path in parse_keys(key))


def _refusal(path: Path, owner: Template, layer: Template) -> str:
    key, value = ".".join(path).replace(f".{EVERY}", EVERY), value_at(layer.spec, path)
    if not _NOT_SHOWN.isdisjoint(path):
        shown = "a value (not shown)"
    elif value is MISSING:
        # A key of raw, or of the master, reaches the same value on the wire.
        shown = "another way to say it"
    else:
        shown = cut(repr(value), 80)
    who = "the task" if layer.name == CALL else f"template {layer.name!r} ({layer.where})"
    return (
        f"spec.{key}: {who} tries {shown}, but {owner.name!r} ({owner.where}) locks it; "
        "leave it out"
    )


def with_defaults(
    spec: JsonMapping, owners: Mapping[str, str], layers: Sequence[Template]
) -> tuple[JsonObject, dict[str, str]]:
    """Add what lines fill in at the end; the last one owns it."""
    result = completed(spec, _unlocked_lines(layers))
    filler = next((layer.name for layer in reversed(layers) if layer.line), CALL)
    # The words of an MPI job of CLI v1 have moved to its master.
    moved = {f"distributed.master.{key}": owners.get(key, filler) for key in _WORDS}
    known = {**moved, **owners}
    return result, {key: known.get(key, filler) for key, _ in leaves(result) if key}


def _unlocked_lines(layers: Sequence[Template]) -> list[Line]:
    """Return the lines without defaults for locked keys, which stay empty."""
    locks = {".".join(path) for layer in layers for path in _locked(layer)}
    lines = [layer.line for layer in layers if layer.line]
    return [replace(line, fills=_unlocked(line.fills, locks)) for line in lines]


def _unlocked(fills: JsonMapping, locks: set[str]) -> JsonObject:
    beneath = tuple(f"{lock}." for lock in locks)
    return {
        key: value
        for key, value in fills.items()
        if key not in locks and not key.startswith(beneath)
    }
