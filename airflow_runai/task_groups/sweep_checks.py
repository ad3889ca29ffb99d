"""What no sweep can be made of."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow.sdk import TaskGroup

from airflow_runai.core.texts import cut, plural
from airflow_runai.core.values import count_problems, nearest
from airflow_runai.errors import SpecError

PASS_AS = ("arguments", "environment")
#: Variables without which no script runs, or not where it should.
_NEEDED = ("CHECKPOINTS", "HOME", "PATH")


def check_sweep(train: object, max_live: object, pass_as: str, spec: object) -> None:
    """
    Find what no sweep can be made of.

    :raises SpecError: listing all of it.
    """
    problems = []
    if not isinstance(train, Mapping):
        problems.append("train: a text; allowed: a specification, to which parameters are added")
    for name, part in {"train": train, "spec": spec}.items():
        args = part.get("args") if isinstance(part, Mapping) else None
        if not isinstance(args, (str, type(None))):
            problems.append(
                f"{name}.args: {cut(repr(args))}; allowed: one text, to which parameters are "
                "added; join a list with shlex.join([...])"
            )
    problems += count_problems({"max_live": (max_live, 1)})
    if pass_as not in PASS_AS:
        problems.append(f"pass_as: {pass_as!r}; {nearest(pass_as, PASS_AS)}")
    if problems:
        raise SpecError(problems)


def check_variables(names: Iterable[str]) -> None:
    """
    Refuse parameters that would replace a variable that a script needs.

    :raises SpecError: naming them.
    """
    problems = [
        f"space: a parameter would replace the variable {name}; rename it, or use "
        "pass_as='arguments'"
        for name in names
        if name in _NEEDED
    ]
    if problems:
        raise SpecError(problems)


def check_enough(min_successful: object, trials: int) -> None:
    """
    Refuse a sweep that cannot succeed.

    :raises SpecError: for more successful trials than there are.
    """
    if isinstance(min_successful, int) and min_successful > trials:
        raise SpecError(
            [f"min_successful: {min_successful}, of {plural(trials, 'trial')}; it cannot succeed"]
        )


def refuse_mapped(group: TaskGroup) -> None:
    """
    Refuse a sweep within a mapped task group, whose map indexes are not those of its trials.

    :raises SpecError: if it is in one.
    """
    if any(True for _ in group.iter_mapped_task_groups()):
        raise SpecError(
            ["it is in a mapped task group, in which trials cannot be mapped; make one for each"]
        )
