"""
What an operator was told to run: a mapping, a command line, or a line with a mapping over it. One mapping comes out.

The mapping wins over the line, key by key; inside ``environment`` and other mappings name by name. A line is split
into words first and rendered by Jinja afterwards, so that no value, whoever typed it, can become another flag.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from airflow_runai.core.bodies import merged
from airflow_runai.core.naming import LONGEST_SLUG
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError

if TYPE_CHECKING:
    from airflow_runai.core.cli import ParsedCommand

log = logging.getLogger(__name__)

_SENSITIVE = re.compile(r"secret|token|passw|key|credential|auth", re.IGNORECASE)


@dataclass(frozen=True)
class Instructions:
    """
    What to run, and what the command line says about name and project.

    :param slug: readable part of the workload's name, cut to what a name has room for.
    """

    spec: Mapping[str, Any]
    slug: str | None = None
    project: str | None = None


def gather(spec: Any, command_line: str | None, render: Callable[[Any], Any]) -> Instructions:
    """
    Unite what the operator was given.

    :param spec: already rendered.
    :param command_line: not yet rendered.
    :param render: renders all texts in a value.
    :raises SpecError: if the line cannot be read, or asks for what only a template can tell.
    """
    if command_line is None:
        return Instructions(spec if spec is not None else {})
    # Imported here: DAGs without a command line need not pay for its grammars.
    from airflow_runai.core.cli import parse_command

    parsed = parse_command(command_line)
    for warning in parsed.warnings:
        log.warning("command_line: %s", warning)
    if parsed.template:
        raise SpecError([f"command_line: names the template {parsed.template!r}; write out what it holds, in `spec`"])
    if spec is not None and not isinstance(spec, Mapping):
        return Instructions(spec)  # what is wrong with it, the specification says better
    rendered = render({"spec": parsed.spec, "project": parsed.project})
    return Instructions(merged(rendered["spec"], spec or {}), _slug(parsed), rendered["project"])


def _slug(parsed: ParsedCommand) -> str | None:
    wanted = parsed.name or parsed.name_prefix
    if wanted is None or len(wanted) <= LONGEST_SLUG:
        return wanted
    slug = wanted[:LONGEST_SLUG].rstrip("-")
    log.warning("command_line: the name %s is shortened to %s, to leave room for what makes it unique", wanted, slug)
    return slug


def show(spec: WorkloadSpec) -> None:
    """Log what will be submitted, once, without values that may be secrets."""
    body = spec.to_wire()
    for entry in body["spec"].get("environmentVariables") or []:
        if "value" in entry and _SENSITIVE.search(str(entry.get("name"))):
            entry["value"] = "***"
    log.info("specification: %s", json.dumps(body, sort_keys=True))
