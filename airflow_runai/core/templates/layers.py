"""
Layers of a specification, merged from below to above, with their locks.

A layer is a template, or the task's own keys. Each value of the result has an owner: the layer that
set it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise

from airflow_runai.core.command_line.line import Line, completed, with_git
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.templates.keys import MISSING, alternatives, dropped, has_value, value_at
from airflow_runai.core.templates.merging import leaves, overlay, same
from airflow_runai.core.templates.template import CALL, Template, parse_keys
from airflow_runai.core.templates.text import Path
from airflow_runai.core.texts import cut

#: Keys below which values may be secrets.
_NOT_SHOWN = {"environment", "raw", "environmentVariables", "command", "args"}


def settled(templates: Sequence[Template], own: Template) -> list[Template]:
    """Read ConfigMaps as the lines that they stand for, and settle which layer has the words."""
    beneath = [
        replace(template, spec=template.line.said) if template.line else template
        for template in templates
    ]
    words = own.line.words if own.line else None
    # The words of the task's line replace those of a ConfigMap as a whole, unless both have a flag
    # for each.
    replaced = [
        layer
        for layer in beneath
        if layer.line and words and (words, layer.line.words) != ("flags", "flags")
    ]
    if not replaced:
        return [*beneath, own]
    own = replace(own, spec=_as_template_means(own.spec, words, replaced[-1].line))
    return [*(_without_words(layer) if layer in replaced else layer for layer in beneath), own]


def _as_template_means(
    spec: JsonMapping, words: str | None, of_template: Line | None
) -> JsonMapping:
    """Take arguments for a command if the line does not decide it and the template's words are."""
    undecided = words == "either" or (words == "flags" and "command" not in spec)
    if not undecided or of_template is None or of_template.words != "command" or "args" not in spec:
        return spec
    return {**dropped(spec, ("args",)), "command": spec["args"]}


def _without_words(layer: Template) -> Template:
    return replace(layer, spec=dropped(dropped(layer.spec, ("command",)), ("args",)))


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
        for path, owner in locks:
            if not same(value_at(before, path), value_at(spec, path)):
                problems.append(_refusal(path, owner, layer))
        owners = _owners(before, spec, owners, layer.name)
        # Locks hold from the next layer on: the layer that sets them may still set the value.
        for path in _locked(layer):
            locks += [(alternative, layer) for alternative in alternatives(path)]
    return _with_clone(spec, layers, problems), owners


def _without_replaced(layers: Sequence[Template]) -> list[Template]:
    """Drop each replaceable key of a layer that a layer above sets."""
    result = []
    for index, layer in enumerate(layers):
        spec = layer.spec
        for key in layer.replaceable:
            paths = parse_keys(key)
            above = [upper.spec for upper in layers[index + 1 :]]
            if any(has_value(upper, path) for upper in above for path in paths):
                for path in paths:
                    spec = dropped(spec, path)
        result.append(replace(layer, spec=spec))
    return result


def _owners(
    before: JsonMapping, after: JsonMapping, owners: Mapping[str, str], layer: str
) -> dict[str, str]:
    values = dict(leaves(before))
    return {
        key: owners[key] if key in owners and same(values[key], value) else layer
        for key, value in leaves(after)
        if key
    }


def _with_clone(spec: JsonObject, layers: Sequence[Template], problems: list[str]) -> JsonObject:
    """Add the repository that lines name together; a lock beneath one of them holds it as well."""
    cloning = [layer for layer in layers if layer.line and layer.line.git]
    lines = [layer.line for layer in cloning if layer.line]
    try:
        steps = [with_git(spec, lines[:end]) for end in range(len(lines) + 1)]
    except ValueError as error:
        problems.append(f"spec.storage.git: {error}")
        return spec
    for layer, (before, after) in zip(cloning, pairwise(steps), strict=True):
        owner = _lock_on_git(layers[: layers.index(layer)])
        if owner and not same(before, after):
            problems.append(_refusal(("storage", "git"), owner, layer))
    return steps[-1]


def _lock_on_git(layers: Sequence[Template]) -> Template | None:
    for layer in layers:
        if any(path in (("storage",), ("storage", "git")) for path in _locked(layer)):
            return layer
    return None


def _locked(layer: Template) -> Iterator[Path]:
    return (path for key in layer.locked for path in parse_keys(key))


def _refusal(path: Path, owner: Template, layer: Template) -> str:
    key, value = ".".join(path), value_at(layer.spec, path)
    if not _NOT_SHOWN.isdisjoint(path):
        shown = "a value (not shown)"
    elif value is MISSING:
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
    moved = {f"distributed.master.{key}": owners.get(key, filler) for key in ("command", "args")}
    known = {**moved, **owners}
    return result, {key: known.get(key, filler) for key, _ in leaves(result) if key}


def _unlocked_lines(layers: Sequence[Template]) -> list[Line]:
    """Return the lines without defaults for locked keys, which stay empty."""
    locks = {".".join(path) for layer in layers for path in _locked(layer)}
    lines = []
    for layer in layers:
        if layer.line:
            fills = {
                key: value for key, value in layer.line.fills.items() if not _is_under(key, locks)
            }
            lines.append(replace(layer.line, fills=fills))
    return lines


def _is_under(key: str, locks: set[str]) -> bool:
    return any(key == lock or key.startswith(f"{lock}.") for lock in locks)
