"""
What an operator was told to run: a mapping, a command line, a template, or all of them. One mapping comes out.

The mapping wins over the line, and both over the template, key by key; inside ``environment`` and
other mappings name by name. A line is split into words first and rendered by Jinja afterwards, so
that no value, whoever typed it, can become another flag.
"""

from __future__ import annotations

import json
import logging
import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_runai.core.json_merge import deep_merge
from airflow_runai.core.naming import LONGEST_SLUG
from airflow_runai.core.secrets import in_value, masked
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.deployment import configuration

if TYPE_CHECKING:
    from airflow_runai.core.command_line import ParsedCommand
    from airflow_runai.core.command_line.line import Line
    from airflow_runai.core.templates import Effective

log = logging.getLogger(__name__)

_SENSITIVE = re.compile(r"secret|token|passw|key|credential|auth", re.IGNORECASE)


@dataclass(frozen=True)
class Instructions:
    """
    What to run, and what the command line says about name and project.

    :param slug: readable part of the workload's name, cut to what a name has room for.
    :param template: name of the template that the line asks for.
    :param line: what the command line alone says; the specification's other keys are of ``spec`` or
        of a template.
    :param unfilled: the same, before what the command line fills in by itself.
    :param warnings: what the line was taken to mean, and what it says in vain.
    :param effective: who said what, where a template may have; ``None`` if the task alone did.
    """

    spec: Mapping[str, Any]
    slug: str | None = None
    project: str | None = None
    template: str | None = None
    line: Mapping[str, Any] = field(default_factory=dict)
    unfilled: Line | None = None
    warnings: tuple[str, ...] = ()
    effective: Effective | None = None


def gather(
    spec: Any,
    command_line: str | None,
    template: str | None,
    templates: Mapping[str, Any] | str | None,
    render: Callable[[Any], Any],
) -> Instructions:
    """
    Unite what the operator was given.

    :param spec: already rendered.
    :param command_line: not yet rendered.
    :param template: name of a template; wins over one that the line names.
    :param templates: templates in the DAG file, or the key of an Airflow Variable, besides the
        configured folder.
    :param render: renders all texts in a value.
    :raises SpecError: if the line cannot be read or a template does not fit.
    """
    told = _from_line(command_line, render) if command_line is not None else Instructions({})
    if spec is not None and not isinstance(spec, Mapping):
        return Instructions(spec)  # what is wrong with it, the specification says better
    line = _without_overruled(told.unfilled, spec or {})
    call = deep_merge(line.said if line else {}, spec or {})
    name = template or told.template
    if name is None and templates is None and not configuration.option("template_folder"):
        return replace(told, spec=_alone(call, line), line=_alone(line.said, line) if line else {})
    found = _templated(name, templates, call, line)
    for warning in found.warnings:
        log.warning("%s", warning)
    return replace(told, spec=found.spec, project=told.project or found.project, effective=found)


def _without_overruled(line: Line | None, spec: Mapping[str, Any]) -> Line | None:
    """Take away what the mapping says in place of the line."""
    storage = spec.get("storage")
    overruled = isinstance(storage, Mapping) and storage.get("git")
    return replace(line, git={}) if line is not None and overruled else line


def _alone(call: Mapping[str, Any], line: Line | None) -> Mapping[str, Any]:
    """Return what a task says that has no template."""
    if line is None:
        return call
    from airflow_runai.core.command_line.line import alone

    return alone(replace(line, said=call), templated=False)


def _from_line(command_line: str, render: Callable[[Any], Any]) -> Instructions:
    # Imported here: DAGs without a command line need not pay for its grammars.
    from airflow_runai.core.command_line import parse_command
    from airflow_runai.core.command_line.line import alone

    parsed = parse_command(command_line)
    for warning in parsed.warnings:
        log.warning("command_line: %s", warning)
    line = parsed.line
    payload: dict[str, str] = {
        key: line.said[key] for key in ("command", "args") if key in line.said
    }
    words = {key: shlex.split(text) for key, text in payload.items()}
    spec = {**line.said, **words}
    rendered = render(
        {
            "spec": spec,
            "git": dict(line.git),
            "project": parsed.project,
            "template": parsed.template,
        }
    )
    said: dict[str, Any] = dict(rendered["spec"])
    said.update((key, shlex.join(said[key])) for key in words)
    line = replace(line, said=said, git=rendered["git"])
    told = Instructions({}, _slug(parsed), rendered["project"], rendered["template"])
    return replace(told, line=alone(line, templated=True), unfilled=line, warnings=parsed.warnings)


def _templated(
    name: str | None,
    templates: Mapping[str, Any] | str | None,
    call: Mapping[str, Any],
    line: Line | None,
) -> Effective:
    # Imported here: DAGs without templates need not pay for reading them.
    from airflow_runai.core.templates import ADMIN, resolve
    from airflow_runai.tasks.template_library import template_library

    variable = templates if isinstance(templates, str) else None
    inline = templates if isinstance(templates, Mapping) else None
    library = template_library(variable=variable, inline=inline)
    found = resolve(name, library, call, library.get(ADMIN), line)
    if found.templates:
        log.info("templates: %s; who set what: %s", " < ".join(found.templates), found.layers)
    return found


def _slug(parsed: ParsedCommand) -> str | None:
    wanted = parsed.name or parsed.name_prefix
    if wanted is None or len(wanted) <= LONGEST_SLUG:
        return wanted
    slug = wanted[:LONGEST_SLUG].rstrip("-")
    log.warning(
        "command_line: the name %s is shortened to %s, to leave room for what makes it unique",
        wanted,
        slug,
    )
    return slug


def looks_secret(name: str) -> bool:
    """Whether the value of a variable of this name may be a secret."""
    return bool(_SENSITIVE.search(name))


def show(spec: WorkloadSpec) -> None:
    """Log what will be submitted, once, without values that may be secrets."""
    body = spec.to_wire()
    for part in (body["spec"], body.get("masterSpec") or {}):
        for entry in part.get("environmentVariables") or []:
            if "value" in entry and (
                looks_secret(str(entry.get("name"))) or in_value(str(entry["value"]))
            ):
                entry["value"] = "***"
        part.update(
            {
                key: masked(part[key])
                for key in ("command", "args")
                if isinstance(part.get(key), str)
            }
        )
    log.info("specification: %s", json.dumps(body, sort_keys=True))
