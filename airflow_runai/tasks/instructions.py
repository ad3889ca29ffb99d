"""
What an operator shall run, as one mapping made of its mapping, its command line and its template.

The mapping wins over the line, and both over the template, key by key; inside ``environment`` and
other mappings name by name. A line is split into words before Jinja renders them, so that no value
can become another flag.
"""

from __future__ import annotations

import json
import logging
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject, deep_merge
from airflow_runai.core.naming import MAX_SLUG_LENGTH
from airflow_runai.core.secrets import SENSITIVE, in_value, masked
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.deployment import configuration

if TYPE_CHECKING:
    from airflow_runai.core.command_line import ParsedCommand
    from airflow_runai.core.command_line.line import Line
    from airflow_runai.core.templates import Effective

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Instructions:
    """
    What to run, and what the command line says about name and project.

    :param slug: readable part of the workload's name, cut to the length that a name has room for.
    :param template: name of the template that the line names.
    :param line: keys of ``spec`` that come from the command line.
    :param unfilled: the command line before its defaults are filled in.
    :param warnings: how the line was read where it is ambiguous, and which flags have no effect.
    :param effective: which layer set which key; ``None`` without templates.
    """

    spec: JsonMapping
    slug: str | None = None
    project: str | None = None
    template: str | None = None
    line: JsonMapping = field(default_factory=dict)
    unfilled: Line | None = None
    warnings: tuple[str, ...] = ()
    effective: Effective | None = None


def gather(
    spec: Any,
    command_line: str | None,
    template: str | None,
    templates: JsonMapping | str | None,
    render: Callable[[Any], Any],
) -> Instructions:
    """
    Merge an operator's mapping, command line and templates.

    :param spec: already rendered.
    :param command_line: not yet rendered.
    :param template: name of a template; wins over one that the line names.
    :param templates: templates in the DAG file, or the key of an Airflow Variable, besides the
        configured folder.
    :param render: renders all texts in a value.
    :raises SpecError: if the line cannot be read or a template does not fit.
    """
    own = _from_line(command_line, render) if command_line is not None else Instructions({})
    if spec is None:
        spec = {}
    if not isinstance(spec, Mapping):
        return Instructions(spec)  # the check of the specification has the better words for it
    line = _without_overruled(own.unfilled, spec)
    call = deep_merge(line.said if line else {}, spec)
    name = template or own.template
    # The folder may hold the admin's defaults, which apply to every task.
    if name is None and templates is None and not configuration.option("template_folder"):
        return replace(own, spec=_alone(call, line), line=_alone(line.said, line) if line else {})
    effective = _from_templates(name, templates, call, line)
    project = own.project or effective.project
    return replace(own, spec=effective.spec, project=project, effective=effective)


def _without_overruled(line: Line | None, spec: JsonMapping) -> Line | None:
    """Drop the line's repository if the mapping names repositories."""
    storage = spec.get("storage")
    overruled = isinstance(storage, Mapping) and storage.get("git")
    return replace(line, git={}) if line is not None and overruled else line


def _alone(call: JsonMapping, line: Line | None) -> JsonMapping:
    """Return the specification of a task without a template."""
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
    rendered = _rendered(parsed, render)
    line = replace(parsed.line, said=rendered["said"], git=rendered["git"])
    return Instructions(
        {},
        slug=_slug(parsed),
        project=rendered["project"],
        template=rendered["template"],
        line=alone(line, templated=True),
        unfilled=line,
        warnings=parsed.warnings,
    )


def _rendered(parsed: ParsedCommand, render: Callable[[Any], Any]) -> JsonObject:
    """Render the line's parts; of the container's command each word by itself."""
    said = dict(parsed.line.said)
    commands = [key for key in ("command", "args") if key in said]
    # Rendered word by word, no value can become two words.
    said.update((key, shlex.split(said[key])) for key in commands)
    rendered: JsonObject = render(
        {
            "said": said,
            "git": dict(parsed.line.git),
            "project": parsed.project,
            "template": parsed.template,
        }
    )
    for key in commands:
        rendered["said"][key] = shlex.join(rendered["said"][key])
    return rendered


def _from_templates(
    name: str | None,
    templates: JsonMapping | str | None,
    call: JsonMapping,
    line: Line | None,
) -> Effective:
    # Imported here: DAGs without templates need not pay for reading them.
    from airflow_runai.core.templates import ADMIN, resolve
    from airflow_runai.tasks.template_library import template_library

    variable = templates if isinstance(templates, str) else None
    inline = templates if isinstance(templates, Mapping) else None
    library = template_library(variable=variable, inline=inline)
    effective = resolve(name, library, call, library.get(ADMIN), line)
    if effective.templates:
        chain = " < ".join(effective.templates)
        log.info("templates: %s; layer of each key: %s", chain, effective.layers)
    for warning in effective.warnings:
        log.warning("%s", warning)
    return effective


def _slug(parsed: ParsedCommand) -> str | None:
    name = parsed.name or parsed.name_prefix
    if name is None or len(name) <= MAX_SLUG_LENGTH:
        return name
    slug = name[:MAX_SLUG_LENGTH].rstrip("-")
    log.warning("command_line: the name %s is cut to %s, to leave room for a hash", name, slug)
    return slug


def looks_secret(name: str) -> bool:
    """Return whether the value of a variable of this name may be a secret."""
    return bool(SENSITIVE.search(name))


def show(spec: WorkloadSpec) -> None:
    """Log what will be submitted, without values that may be secrets."""
    body = spec.to_wire()
    for pod in (body["spec"], body.get("masterSpec") or {}):
        _mask_secrets(pod)
    log.info("specification: %s", json.dumps(body, sort_keys=True))


def _mask_secrets(pod: JsonObject) -> None:
    for entry in pod.get("environmentVariables") or []:
        value = str(entry.get("value", ""))
        if value and (looks_secret(str(entry.get("name"))) or in_value(value)):
            entry["value"] = "***"
    for key in ("command", "args"):
        if isinstance(pod.get(key), str):
            pod[key] = masked(pod[key])
