"""``airflow runai render``: the effective specification of a task, and who set each key of it."""

from __future__ import annotations

import re
from argparse import Namespace
from collections.abc import Iterator, Mapping

from airflow_runai.cli.exit_codes import command
from airflow_runai.cli.output import print_rows
from airflow_runai.cli.target import Target, target_of_task
from airflow_runai.cli.tasks import TrainingTask, find_training
from airflow_runai.core.secrets import in_value, masked
from airflow_runai.core.templates import CALL
from airflow_runai.core.templates.merging import leaves, same
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.tasks.instructions import Instructions, looks_secret

_PLAIN = (str, int, float, type(None))
_VARIABLE = re.compile(r"(?:^|\.)environment\.(.+)$")


@command
def main(arguments: Namespace) -> int:
    """Print one row for each single value: key, value, layer."""
    target = target_of_task(find_training(arguments))
    rows = [
        {"key": key, "value": _masked(key, value), "layer": layer}
        for key, value, layer in by_layer(target)
    ]
    print_rows(rows, arguments.output, "an empty specification")
    return 0


def by_layer(target: Target) -> Iterator[tuple[str, object, str]]:
    """Yield key, value and layer of each single value; additions of the operator come last."""
    yield from _outside_spec(target)
    yield from _specification(target.instructions)
    if target.task:
        yield from _added_by_operator(target.task)


def _outside_spec(target: Target) -> Iterator[tuple[str, object, str]]:
    """Yield project, template and name: the task wins over its line, both over a template."""
    instructions, effective = target.instructions, target.instructions.effective
    # A template that names the same project named it first.
    of_template = effective is not None and instructions.project == effective.project
    fallbacks = {
        "project": (instructions.project, "a template" if of_template else "command_line"),
        "template": (instructions.template, "command_line"),
        "workload_name": (instructions.slug, "command_line"),
    }
    for name, (fallback, layer) in fallbacks.items():
        argument = target.argument(name)
        if argument is not None:
            yield name, argument, "task"
        elif fallback is not None:
            yield name, fallback, layer


def _specification(instructions: Instructions) -> Iterator[tuple[str, object, str]]:
    if not instructions.spec:
        return
    layers = instructions.effective.layers if instructions.effective else {}
    of_line = list(leaves(instructions.line))
    for key, value in leaves(instructions.spec):
        layer = layers.get(key, CALL)
        if layer == CALL:
            is_of_line = any(_is_same_entry(key, value, *entry) for entry in of_line)
            layer = "command_line" if is_of_line else "spec"
        yield f"spec.{key}" if key else "spec", value, layer


def _is_same_entry(key: str, value: object, other_key: str, other_value: object) -> bool:
    # Lists of several layers are joined, so the index of an entry says nothing.
    return key.split("[")[0] == other_key.split("[")[0] and same(value, other_value)


def _added_by_operator(task: TrainingTask) -> Iterator[tuple[str, object, str]]:
    if issubclass(task.operator_class, RunaiEvaluationOperator):
        yield "spec.environment.CHECKPOINT", "the path of `checkpoint`", "operator"
        yield "spec.environment.METRICS", task.get("metrics"), "operator"
    for name in task.expanded:
        yield name, "differs between the task's instances", "expand"


def _masked(key: str, value: object) -> object:
    variable = None if isinstance(value, Mapping) else _VARIABLE.search(key)
    if variable and (looks_secret(variable[1]) or in_value(str(value))):
        return "***"
    # Command lines carry secrets among other words; only those are masked.
    if key.rpartition(".")[2] in ("command", "args") and isinstance(value, str):
        return masked(value)
    return _plain(value)


def _plain(value: object) -> object:
    """Return plain data: results of other tasks as text, secrets in ``{name, value}`` masked."""
    if isinstance(value, Mapping):
        plain = {str(key): _plain(entry) for key, entry in value.items()}
        if "value" in plain and looks_secret(str(plain.get("name"))):
            plain["value"] = "***"
        return plain
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return value if isinstance(value, _PLAIN) else str(value)
