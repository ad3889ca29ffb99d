"""
From a template's name and what a task says to one specification, and who said what in it.

Layers, from below: admin defaults, the first ancestor, …, the named template, the task (``call``). Problems are
collected, so that an author sees them all at once. Values of the result are not checked here: that is
:meth:`~airflow_runai.core.spec.WorkloadSpec.from_mapping`'s, once Airflow has rendered them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.core.fields import nearest
from airflow_runai.core.templates.keys import MISSING, says, value_at, ways, without
from airflow_runai.core.templates.merging import laid, leaves, same
from airflow_runai.core.templates.template import ADMIN, CALL, Template, alternatives
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
    :param layers: dotted key of each single value → the layer that brought it (``admin``, a template, ``call``). Who
        only repeats a value does not count.
    :param templates: names from below to above, ``admin`` included.
    :param project: of the uppermost template that names one.
    """

    spec: dict[str, Any]
    layers: dict[str, str]
    templates: tuple[str, ...] = ()
    project: str | None = None
    warnings: tuple[str, ...] = ()


def resolve(
    name: str | None, library: Mapping[str, Template], call: Mapping[str, Any], admin: Template | None
) -> Effective:
    """
    Lay the task's own keys over a template, its ancestors and the admin's defaults.

    :param name: the template; ``None``: only the admin's defaults apply.
    :param call: keys of a specification, as the task gives them.
    :raises SpecError: with everything that is wrong between the layers: unknown and circular templates, locked keys
        that are changed, required keys without a value, a kind that does not fit.
    """
    broken: list[str] = []
    chain = _chain(name, library, broken)
    templates = [*([admin] if admin else []), *chain]
    layers = [*templates, Template(CALL, "the task's own specification", call)]
    problems: list[str] = []
    spec, owners = _merged(_without_replaced(layers), problems)
    if not broken:  # what is missing may stand in the template that was not found
        problems += [*_missing(templates, spec), *_misfits(templates, spec)]
    if broken or problems:
        raise SpecError([*broken, *problems])
    project = next((template.project for template in reversed(templates) if template.project), None)
    warnings = tuple(f"template {t.name!r}: {sentence}" for t in templates for sentence in t.warnings)
    return Effective(spec, owners, tuple(template.name for template in templates), project, warnings)


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
    return f"no template is called {cut(name, 80)!r}; {nearest(name, names) if names else 'there are none'}"


def _without_replaced(layers: Sequence[Template]) -> list[Template]:
    """Take out of each layer what it lets others replace, where one above says something there."""
    found = []
    for index, layer in enumerate(layers):
        spec = layer.spec
        for key in layer.replaceable:
            paths = alternatives(key)
            if any(says(above.spec, path) for above in layers[index + 1 :] for path in paths):
                for path in paths:
                    spec = without(spec, path)
        found.append(replace(layer, spec=spec))
    return found


def _merged(layers: Sequence[Template], problems: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    spec: dict[str, Any] = {}
    owners: dict[str, str] = {}
    locks: list[tuple[Path, Template]] = []
    for layer in layers:
        before, spec = spec, laid(spec, layer.spec)
        problems += [_refusal(path, owner, layer) for path, owner in locks if _changed(before, spec, path)]
        there = dict(leaves(before))
        owners = {
            key: owners[key] if key in owners and same(there[key], value) else layer.name
            for key, value in leaves(spec)
            if key
        }
        locks += [(way, layer) for key in layer.locked for path in alternatives(key) for way in ways(path)]
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
            if key not in seen and not any(says(spec, path) for path in alternatives(key)):
                seen.add(key)
                either = " or spec.".join(part.strip() for part in key.split("|"))
                yield f"spec.{either}: missing; required by {template.name!r} ({template.where}); set it in the task"


def _misfits(templates: Sequence[Template], spec: Mapping[str, Any]) -> Iterator[str]:
    kind = "distributed" if spec.get("distributed") else "training"
    for template in templates:
        if template.kind not in (None, kind):
            remedy = "leave 'distributed' out" if kind == "distributed" else "set spec.distributed"
            yield (
                f"kind: the workload is of kind {kind}, and template {template.name!r} ({template.where}) is for "
                f"{template.kind}; {remedy}, or take another template"
            )
