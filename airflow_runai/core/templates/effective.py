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
from dataclasses import dataclass

from airflow_runai.core.command_line.line import Line
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.templates.keys import has_value
from airflow_runai.core.templates.layers import merged, settled, with_defaults
from airflow_runai.core.templates.template import ADMIN, CALL, Template, parse_keys
from airflow_runai.core.texts import cut
from airflow_runai.core.values import nearest
from airflow_runai.errors import SpecError


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

    spec: JsonObject
    layers: dict[str, str]
    templates: tuple[str, ...] = ()
    project: str | None = None
    warnings: tuple[str, ...] = ()


def resolve(
    name: str | None,
    library: Mapping[str, Template],
    call: JsonMapping,
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
    problems: list[str] = []
    templates = _chain(name, library, problems)
    if admin:
        templates.insert(0, admin)
    own = Template(CALL, "the task's own specification", call, line=line)
    layers = settled(templates, own)
    spec, owners = _checked(layers, problems)
    warnings = _warnings(layers, owners, library if name is None else {})
    spec, owners = with_defaults(spec, owners, layers)
    return Effective(
        spec=spec,
        layers=owners,
        templates=tuple(template.name for template in templates),
        project=_project(templates),
        warnings=tuple(warnings),
    )


def _checked(layers: Sequence[Template], problems: list[str]) -> tuple[JsonObject, dict[str, str]]:
    """Return the merged specification and its owners, or raise all problems."""
    # A template that was not found may set what seems to be missing.
    is_complete = not problems
    spec, owners = merged(layers, problems)
    if is_complete:
        problems += [*_missing(layers, spec), *_misfits(layers, spec)]
    if problems:
        raise SpecError(problems)
    return spec, owners


def _project(templates: Sequence[Template]) -> str | None:
    named = [template.project for template in templates if template.project]
    return named[-1] if named else None


def _warnings(
    layers: Sequence[Template], owners: Mapping[str, str], unnamed: Mapping[str, Template]
) -> Iterator[str]:
    """
    Yield the templates' own warnings, and doubts.

    :param unnamed: the library, if the task names no template of it.
    """
    *templates, own = layers
    for template in templates:
        yield from (f"template {template.name!r}: {sentence}" for sentence in template.warnings)
    if own.line:
        yield from _doubtful_words(own.line, owners)
        yield from _doubtful_launchers(own.line, templates)
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
    chain: dict[str, Template] = {}
    where = "template"
    while name is not None and not broken:
        if name in chain:
            broken.append(_circle([*chain], name))
        # The admin's defaults lie beneath everything already.
        elif name == ADMIN or name not in library:
            broken.append(f"{where}: {_unknown(name, library)}")
        else:
            chain[name] = library[name]
            where, name = f"template {name!r}, extends", library[name].extends
    return [*reversed(chain.values())]


def _circle(names: list[str], name: str) -> str:
    circle = " → ".join([*names[names.index(name) :], name])
    return f"template {name!r}: extends itself ({circle}); take out one 'extends'"


def _unknown(name: str, library: Mapping[str, Template]) -> str:
    if name == ADMIN:
        return f"{ADMIN!r} applies to every task anyway; name another one, or none"
    names = sorted(set(library) - {ADMIN})
    hint = nearest(name, names) if names else "there are none"
    return (
        f"no template is called {cut(name, 80)!r}; {hint}. "
        "A template of the control plane is named as spec.template_id"
    )


def _missing(templates: Sequence[Template], spec: JsonMapping) -> Iterator[str]:
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


def _misfits(templates: Sequence[Template], spec: JsonMapping) -> Iterator[str]:
    kind = "distributed" if spec.get("distributed") else "training"
    remedy = "leave 'distributed' out" if kind == "distributed" else "set spec.distributed"
    for template in templates:
        if template.kind not in (None, kind):
            yield (
                f"kind: the workload is of kind {kind}, and template {template.name!r} "
                f"({template.where}) is for {template.kind}; {remedy}, or take another template"
            )
