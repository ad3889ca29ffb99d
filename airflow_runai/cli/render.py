"""``airflow runai render``: the effective specification of a task, and who set each key of it."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from typing import Any

from airflow_runai.cli.exit_codes import command
from airflow_runai.cli.output import print_rows
from airflow_runai.cli.target import Target, target_of_task
from airflow_runai.cli.tasks import TrainingTask, find_training
from airflow_runai.core.secrets import in_value, masked
from airflow_runai.core.templates import CALL
from airflow_runai.core.templates.merging import leaves, same
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.tasks.instructions import Instructions, looks_secret

_OF_A_VARIABLE = re.compile(r"(?:^|\.)environment\.(.+)$")


@command
def main(arguments: Namespace) -> int:
    """Print one row for each single value: key, value, layer."""
    told = target_of_task(find_training(arguments))
    rows = [
        {"key": key, "value": _masked(key, value), "layer": layer}
        for key, value, layer in by_layer(told)
    ]
    print_rows(rows, arguments.output, "an empty specification")
    return 0


def by_layer(told: Target) -> Iterator[tuple[str, Any, str]]:
    """
    Return key, value and layer of each single value; what the operator adds by itself comes last.
    """
    yield from _beside(told)
    yield from _specification(told.instructions)
    if told.task:
        yield from _added(told.task)


def _beside(told: Target) -> Iterator[tuple[str, Any, str]]:
    """Return what is no part of a specification; the task wins over its line, and both over a template."""
    found = told.instructions
    # A template that says the same project said it first.
    of_template = found.effective is not None and found.project == found.effective.project
    beneath = {
        "project": (found.project, "a template" if of_template else "command_line"),
        "template": (found.template, "command_line"),
        "workload_name": (found.slug, "command_line"),
    }
    for name, (said, layer) in beneath.items():
        given = told.task.get(name) if told.task else None
        if given is not None:
            yield name, given, "task"
        elif said is not None:
            yield name, said, layer


def _specification(found: Instructions) -> Iterator[tuple[str, Any, str]]:
    layers = found.effective.layers if found.effective else {}
    of_line = list(leaves(found.line))
    for key, value in leaves(found.spec) if found.spec else ():
        layer = layers.get(key, CALL)
        if layer == CALL:
            # Lists of several layers are joined, so an entry's number says nothing.
            layer = "command_line" if any(_same(key, value, *said) for said in of_line) else "spec"
        yield f"spec.{key}" if key else "spec", value, layer


def _same(key: str, value: Any, other: str, said: Any) -> bool:
    return key.split("[")[0] == other.split("[")[0] and same(value, said)


def _added(task: TrainingTask) -> Iterator[tuple[str, Any, str]]:
    if issubclass(task.kind, RunaiEvaluationOperator):
        yield "spec.environment.CHECKPOINT", "the path of `checkpoint`", "operator"
        yield "spec.environment.METRICS", task.get("metrics"), "operator"
    for name in task.expanded:
        yield name, "differs between the task's instances", "expand"


def _masked(key: str, value: Any) -> Any:
    variable = _OF_A_VARIABLE.search(key)
    secret = (
        variable
        and not isinstance(value, Mapping)
        and (looks_secret(variable[1]) or in_value(str(value)))
    )
    if not secret and key.rpartition(".")[2] in ("command", "args") and isinstance(value, str):
        return masked(value)
    return "***" if secret else _plain(value)


def _plain(value: Any) -> Any:
    """Write what is no plain value (the result of another task) as text; mask variables in the server's spelling."""
    if isinstance(value, Mapping):
        found = {str(key): _plain(entry) for key, entry in value.items()}
        return (
            {**found, "value": "***"}
            if "value" in found and looks_secret(str(found.get("name")))
            else found
        )
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)
