"""
From a template's name and a task's own keys to one specification, and the layer of each value.

Layers, from below: admin defaults, the first ancestor, …, the named template, the task (``call``).
A command line's defaults lie beneath them all, see :mod:`~airflow_runai.core.command_line.line`.
Problems are collected, so that an author sees all of them at once. Values of the result are not
checked here: :meth:`~airflow_runai.core.spec.WorkloadSpec.from_mapping` does that, once Airflow has
rendered them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from airflow_runai.core.command_line.line import Line, completed, with_git
from airflow_runai.core.fields import nearest
from airflow_runai.core.templates.keys import MISSING, alternatives, dropped, has_value, value_at
from airflow_runai.core.templates.merging import leaves, overlay, same
from airflow_runai.core.templates.template import ADMIN, CALL, Template, parse_keys
from airflow_runai.core.templates.text import Path
from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError

#: Keys below which values may be secrets.
_NOT_SHOWN = {"environment", "raw", "environmentVariables", "command", "args"}


@dataclass(frozen=True)
class Effective:
    """
    The result of all layers.

    :param spec: plain mapping for :meth:`~airflow_runai.core.spec.WorkloadSpec.from_mapping`.
    :param layers: dotted key of each single value → the layer that set it (``admin``, a template,
        ``call``). A layer that only repeats a value does not count.
    :param templates: names from below to above, ``admin`` included.
    :param project: of the uppermost template that names one.
    """

    spec: dict[str, Any]
    layers: dict[str, str]
    templates: tuple[str, ...] = ()
    project: str | None = None
    warnings: tuple[str, ...] = ()


def resolve(
    name: str | None,
    library: Mapping[str, Template],
    call: Mapping[str, Any],
    admin: Template | None,
    line: Line | None = None,
) -> Effective:
    """
    Lay the task's own keys over a template, its ancestors and the admin's defaults.

    :param name: the template; ``None``: only the admin's defaults apply.
    :param call: keys of a specification, as the task gives them.
    :param line: the rest of the task's command line; its keys are part of ``call`` already.
    :raises SpecError: with every mistake between the layers: unknown and circular templates, locked
        keys that are changed, required keys without a value, a kind that does not fit.
    """
    unresolved: list[str] = []
    templates = _chain(name, library, unresolved)
    if admin:
        templates.insert(0, admin)
    own = Template(CALL, "the task's own specification", call, line=line)
    layers = _layers(templates, own)
    problems: list[str] = []
    spec, owners = _merged(_without_replaced(layers), problems)
    spec = _with_clone(spec, layers, problems)
    if not unresolved:  # a template that was not found may set what seems to be missing
        problems += [*_missing(templates, spec), *_misfits(templates, spec)]
    if unresolved or problems:
        raise SpecError([*unresolved, *problems])
    warnings = _warnings(layers, owners, library if name is None else {})
    spec = completed(spec, _unlocked_lines(layers))
    return Effective(
        spec=spec,
        layers=_owners_of_result(spec, owners, layers),
        templates=tuple(template.name for template in templates),
        project=next((one.project for one in reversed(templates) if one.project), None),
        warnings=tuple(warnings),
    )


def _layers(templates: Sequence[Template], own: Template) -> list[Template]:
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
    spec: Mapping[str, Any], words: str | None, of_template: Line | None
) -> Mapping[str, Any]:
    """Take arguments for a command if the line does not decide it and the template's words are."""
    undecided = words == "either" or (words == "flags" and "command" not in spec)
    if not undecided or of_template is None or of_template.words != "command" or "args" not in spec:
        return spec
    return {**dropped(spec, ("args",)), "command": spec["args"]}


def _without_words(layer: Template) -> Template:
    return replace(layer, spec=dropped(dropped(layer.spec, ("command",)), ("args",)))


def _with_clone(
    spec: dict[str, Any], layers: Sequence[Template], problems: list[str]
) -> dict[str, Any]:
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


def _owners_of_result(
    spec: Mapping[str, Any], owners: Mapping[str, str], layers: Sequence[Template]
) -> dict[str, str]:
    """Return the layer of each value; the last line owns the defaults."""
    default = next((layer.name for layer in reversed(layers) if layer.line), CALL)
    # The words of an MPI job of CLI v1 have moved to its master.
    result = {f"distributed.master.{key}": owners.get(key, default) for key in ("command", "args")}
    result.update(owners)
    return {key: result.get(key, default) for key, _ in leaves(spec) if key}


def _is_under(key: str, locks: set[str]) -> bool:
    return any(key == lock or key.startswith(f"{lock}.") for lock in locks)


def _warnings(
    layers: Sequence[Template], owners: Mapping[str, str], unnamed: Mapping[str, Template]
) -> Iterator[str]:
    """
    Yield the templates' own warnings, and doubts.

    :param unnamed: the library, if the task names no template of it.
    """
    for layer in layers[:-1]:
        yield from (f"template {layer.name!r}: {sentence}" for sentence in layer.warnings)
    if layers[-1].line:
        yield from _doubtful_words(layers[-1].line, owners)
        yield from _doubtful_launchers(layers[-1].line, layers[:-1])
    for template in unnamed.values():
        if template.default:
            yield (
                f"no template is named; the command line took {template.name!r} then. "
                "Name it, if it shall apply"
            )


def _doubtful_words(line: Line, owners: Mapping[str, str]) -> Iterator[str]:
    of_args = owners.get("args", CALL)
    if line.words and owners.get("command") == CALL and of_args != CALL:
        yield (
            f"template {of_args!r}: its args come behind the line's command; "
            "if they are not meant, name none there"
        )


def _doubtful_launchers(line: Line, templates: Sequence[Template]) -> Iterator[str]:
    if "distributed" in line.said:
        return
    for template in templates:
        if template.line and template.line.launcher:
            yield (
                f"template {template.name!r}: has 'processes', so this becomes an MPI training; "
                "the command line did so for 'runai submit-mpi' only"
            )


def _chain(name: str | None, library: Mapping[str, Template], broken: list[str]) -> list[Template]:
    """Return the template and its ancestors, the uppermost ancestor first."""
    chain: list[Template] = []
    where = "template"
    while name is not None:
        names = [template.name for template in chain]
        if name in names:
            circle = " → ".join([*names[names.index(name) :], name])
            broken.append(f"template {name!r}: extends itself ({circle}); take out one 'extends'")
            break
        if name == ADMIN or name not in library:
            broken.append(f"{where}: {_unknown(name, library)}")
            break
        chain.append(library[name])
        where, name = f"template {name!r}, extends", library[name].extends
    return chain[::-1]


def _unknown(name: str, library: Mapping[str, Template]) -> str:
    if name == ADMIN:
        return f"{ADMIN!r} applies to every task anyway; name another one, or none"
    names = sorted(set(library) - {ADMIN})
    hint = nearest(name, names) if names else "there are none"
    return (
        f"no template is called {cut(name, 80)!r}; {hint}. "
        "A template of the control plane is named as spec.template_id"
    )


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


def _merged(
    layers: Sequence[Template], problems: list[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the specification, and the layer that set each value; locks are checked on the way."""
    spec: dict[str, Any] = {}
    owners: dict[str, str] = {}
    locks: list[tuple[Path, Template]] = []
    for layer in layers:
        before, spec = spec, overlay(spec, layer.spec)
        for path, owner in locks:
            if not same(value_at(before, path), value_at(spec, path)):
                problems.append(_refusal(path, owner, layer))
        owners = _owners(before, spec, owners, layer.name)
        for path in _locked(layer):
            locks += [(alternative, layer) for alternative in alternatives(path)]
    return spec, owners


def _owners(
    before: Mapping[str, Any], after: Mapping[str, Any], owners: Mapping[str, str], layer: str
) -> dict[str, str]:
    values = dict(leaves(before))
    return {
        key: owners[key] if key in owners and same(values[key], value) else layer
        for key, value in leaves(after)
        if key
    }


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


def _missing(templates: Sequence[Template], spec: Mapping[str, Any]) -> Iterator[str]:
    reported: set[str] = set()
    for template in templates:
        for key in template.required:
            if key in reported or any(has_value(spec, path) for path in parse_keys(key)):
                continue
            reported.add(key)
            either = " or spec.".join(part.strip() for part in key.split("|"))
            yield (
                f"spec.{either}: missing; required by {template.name!r} ({template.where}); "
                "set it in the task"
            )


def _misfits(templates: Sequence[Template], spec: Mapping[str, Any]) -> Iterator[str]:
    kind = "distributed" if spec.get("distributed") else "training"
    remedy = "leave 'distributed' out" if kind == "distributed" else "set spec.distributed"
    for template in templates:
        if template.kind not in (None, kind):
            yield (
                f"kind: the workload is of kind {kind}, and template {template.name!r} "
                f"({template.where}) is for {template.kind}; {remedy}, or take another template"
            )
