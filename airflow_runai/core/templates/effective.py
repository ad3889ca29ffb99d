"""
From a template's name and what a task says to one specification, and who said what in it.

Layers, from below: admin defaults, the first ancestor, …, the named template, the task (``call``).
What a command line fills in by itself lies beneath them all, see
:mod:`~airflow_runai.core.command_line.line`. Problems are collected, so that an author sees them
all at once. Values of the result are not checked here: that is
:meth:`~airflow_runai.core.spec.WorkloadSpec.from_mapping`'s, once Airflow has rendered them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.core.command_line.line import Line, completed, with_git
from airflow_runai.core.fields import nearest
from airflow_runai.core.templates.keys import MISSING, alternatives, dropped, has_value, value_at
from airflow_runai.core.templates.merging import leaves, overlay, same
from airflow_runai.core.templates.template import ADMIN, CALL, Template, parse_keys
from airflow_runai.core.templates.text import Path
from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError

#: Values below them may be secrets.
_NOT_SHOWN = {"environment", "raw", "environmentVariables", "command", "args"}


@dataclass(frozen=True)
class Effective:
    """
    What comes of all layers.

    :param spec: plain mapping for :meth:`~airflow_runai.core.spec.WorkloadSpec.from_mapping`.
    :param layers: dotted key of each single value → the layer that brought it (``admin``, a
        template, ``call``). Who only repeats a value does not count.
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
    :param line: what the task's command line says beside them; its keys are part of ``call``
        already.
    :raises SpecError: with everything that is wrong between the layers: unknown and circular
        templates, locked keys that are changed, required keys without a value, a kind that does not
        fit.
    """
    broken: list[str] = []
    chain = _chain(name, library, broken)
    templates = [*([admin] if admin else []), *chain]
    own = Template(CALL, "the task's own specification", call, line=line)
    layers = _layers([*templates, own])
    problems: list[str] = []
    spec, owners = _merged(_without_replaced(layers), problems)
    spec = _cloned(spec, layers, problems)
    if not broken:  # what is missing may stand in the template that was not found
        problems += [*_missing(templates, spec), *_misfits(templates, spec)]
    if broken or problems:
        raise SpecError([*broken, *problems])
    project = next((template.project for template in reversed(templates) if template.project), None)
    warnings = [f"template {t.name!r}: {sentence}" for t in templates for sentence in t.warnings]
    warnings += [*_doubtful(layers, owners), *(_defaults(library) if name is None else ())]
    spec, owners = _settled(spec, owners, layers)
    return Effective(
        spec, owners, tuple(template.name for template in templates), project, tuple(warnings)
    )


def _layers(given: Sequence[Template]) -> list[Template]:
    """Take ConfigMaps for the lines that they amount to, and let the words of the task's own line replace theirs."""
    layers = [
        replace(layer, spec=layer.line.said) if layer.line and layer.name != CALL else layer
        for layer in given
    ]
    *beneath, own = layers
    words = own.line.words if own.line else None
    replaced = [
        layer
        for layer in beneath
        if layer.line and words and (words, layer.line.words) != ("flags", "flags")
    ]
    if replaced:
        own = replace(own, spec=_as_meant(own.spec, words, replaced[-1].line))
    return [*(_wordless(layer) if layer in replaced else layer for layer in beneath), own]


def _as_meant(
    spec: Mapping[str, Any], words: str | None, of_template: Line | None
) -> Mapping[str, Any]:
    """Take words that nobody called a command for one, if the template's own were."""
    undecided = words == "either" or (words == "flags" and "command" not in spec)
    if not undecided or of_template is None or of_template.words != "command" or "args" not in spec:
        return spec
    return {**{key: value for key, value in spec.items() if key != "args"}, "command": spec["args"]}


def _wordless(layer: Template) -> Template:
    return replace(
        layer,
        spec={key: value for key, value in layer.spec.items() if key not in ("command", "args")},
    )


def _cloned(
    spec: dict[str, Any], layers: Sequence[Template], problems: list[str]
) -> dict[str, Any]:
    """Add the repository that lines name together; a lock beneath one of them holds it, too."""
    lines = [(layer, layer.line) for layer in layers if layer.line and layer.line.git]
    try:
        found = with_git(spec, (line for _, line in lines))
        for index, (layer, _) in enumerate(lines):
            before, after = (
                with_git(spec, (line for _, line in lines[:end])) for end in (index, index + 1)
            )
            below = layers[: layers.index(layer)]
            held = [
                one
                for one in below
                if any(path in (("storage",), ("storage", "git")) for path in _locked(one))
            ]
            problems += [
                _refusal(("storage", "git"), one, layer)
                for one in held[:1]
                if not same(before, after)
            ]
    except ValueError as error:
        problems.append(f"spec.storage.git: {error}")
        return spec
    return found


def _locked(layer: Template) -> Iterator[Path]:
    return (path for key in layer.locked for path in parse_keys(key))


def _settled(
    spec: dict[str, Any], owners: dict[str, str], layers: Sequence[Template]
) -> tuple[dict[str, Any], dict[str, str]]:
    """Let lines fill in what nobody said; what is locked without a value stays empty."""
    locked = {".".join(path) for layer in layers for path in _locked(layer)}
    lines = [(layer.name, layer.line) for layer in layers if layer.line]
    held = [
        replace(line, fills={k: v for k, v in line.fills.items() if not _under(k, locked)})
        for _, line in lines
    ]
    found = completed(spec, held)
    last = lines[-1][0] if lines else CALL
    moved = {
        f"distributed.master.{key}": owners[key] for key in ("command", "args") if key in owners
    }
    return found, {
        key: owners.get(key) or moved.get(key) or last for key, _ in leaves(found) if key
    }


def _under(key: str, locked: set[str]) -> bool:
    return any(key == lock or key.startswith(f"{lock}.") for lock in locked)


def _doubtful(layers: Sequence[Template], owners: Mapping[str, str]) -> Iterator[str]:
    """Warn of a line's command in front of a template's arguments: of its own format they count key by key."""
    line, of_args = layers[-1].line, owners.get("args", CALL)
    if line and line.words and owners.get("command") == CALL and of_args != CALL:
        yield f"template {of_args!r}: its args come behind the line's command; if they are not meant, name none there"
    if line and "distributed" not in line.said:
        for layer in layers[:-1]:
            if layer.line and layer.line.launcher:
                yield (
                    f"template {layer.name!r}: has 'processes', so this becomes an MPI training; "
                    "the command line did so for 'runai submit-mpi' only"
                )


def _defaults(library: Mapping[str, Template]) -> Iterator[str]:
    for template in library.values():
        if template.default:
            yield f"no template is named; the command line took {template.name!r} then. Name it, if it shall apply"


def _chain(name: str | None, library: Mapping[str, Template], broken: list[str]) -> list[Template]:
    """Return the template and its ancestors, the uppermost ancestor first."""
    found: list[Template] = []
    asked = "template"
    while name is not None:
        names = [template.name for template in found]
        if name in names:
            circle = " → ".join([*names[names.index(name) :], name])
            broken.append(f"template {name!r}: extends itself ({circle}); take out one 'extends'")
            break
        if name == ADMIN or name not in library:
            broken.append(f"{asked}: {_unknown(name, library)}")
            break
        found.append(library[name])
        asked, name = f"template {name!r}, extends", library[name].extends
    return found[::-1]


def _unknown(name: str, library: Mapping[str, Template]) -> str:
    if name == ADMIN:
        return f"{ADMIN!r} applies to every task anyway; name another one, or none"
    names = sorted(set(library) - {ADMIN})
    return (
        f"no template is called {cut(name, 80)!r}; "
        f"{nearest(name, names) if names else 'there are none'}. A template of the control plane "
        "is named as spec.template_id"
    )


def _without_replaced(layers: Sequence[Template]) -> list[Template]:
    """Take out of each layer what it lets others replace, where one above says something there."""
    found = []
    for index, layer in enumerate(layers):
        spec = layer.spec
        for key in layer.replaceable:
            paths = parse_keys(key)
            if any(has_value(above.spec, path) for above in layers[index + 1 :] for path in paths):
                for path in paths:
                    spec = dropped(spec, path)
        found.append(replace(layer, spec=spec))
    return found


def _merged(
    layers: Sequence[Template], problems: list[str]
) -> tuple[dict[str, Any], dict[str, str]]:
    spec: dict[str, Any] = {}
    owners: dict[str, str] = {}
    locks: list[tuple[Path, Template]] = []
    for layer in layers:
        before, spec = spec, overlay(spec, layer.spec)
        problems += [
            _refusal(path, owner, layer) for path, owner in locks if _changed(before, spec, path)
        ]
        there = dict(leaves(before))
        owners = {
            key: owners[key] if key in owners and same(there[key], value) else layer.name
            for key, value in leaves(spec)
            if key
        }
        locks += [
            (way, layer)
            for key in layer.locked
            for path in parse_keys(key)
            for way in alternatives(path)
        ]
    return spec, owners


def _changed(before: Mapping[str, Any], after: Mapping[str, Any], path: Path) -> bool:
    return not same(value_at(before, path), value_at(after, path))


def _refusal(path: Path, owner: Template, layer: Template) -> str:
    key, tried = ".".join(path), value_at(layer.spec, path)
    if _NOT_SHOWN & set(path):
        shown = "a value (not shown)"
    else:
        shown = "another way to say it" if tried is MISSING else cut(repr(tried), 80)
    who = "the task" if layer.name == CALL else f"template {layer.name!r} ({layer.where})"
    return f"spec.{key}: {who} tries {shown}, but {owner.name!r} ({owner.where}) locks it; leave it out"


def _missing(templates: Sequence[Template], spec: Mapping[str, Any]) -> Iterator[str]:
    seen: set[str] = set()
    for template in templates:
        for key in template.required:
            if key not in seen and not any(has_value(spec, path) for path in parse_keys(key)):
                seen.add(key)
                either = " or spec.".join(part.strip() for part in key.split("|"))
                yield f"spec.{either}: missing; required by {template.name!r} ({template.where}); set it in the task"


def _misfits(templates: Sequence[Template], spec: Mapping[str, Any]) -> Iterator[str]:
    kind = "distributed" if spec.get("distributed") else "training"
    for template in templates:
        if template.kind not in (None, kind):
            remedy = "leave 'distributed' out" if kind == "distributed" else "set spec.distributed"
            yield (
                f"kind: the workload is of kind {kind}, and template {template.name!r} "
                f"({template.where}) is for {template.kind}; {remedy}, or take another template"
            )
