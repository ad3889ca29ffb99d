"""
Where a task is declared: the task's id and the line of the DAG file, for what is wrong there.

A file may declare many tasks, and Airflow shows an import error without saying which one it means.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, ParamSpec, TypeVar

from airflow.sdk.bases.operator import BaseOperatorMeta

from airflow_runai.core.habits import place_of
from airflow_runai.errors import InvalidArgument

T = TypeVar("T")
P = ParamSpec("P")

#: Modules through which a call passes on its way from a DAG file to a constructor.
_BETWEEN = ("airflow.", "airflow_runai.")
#: How Airflow speaks of arguments that no constructor takes, or that one needs.
_ABOUT_ARGUMENTS = (
    "Invalid arguments were passed to",
    ".partial() got ",
    "missing keyword argument",
)
_PLACED = "_runai_placed"


def names_its_place(make: Callable[..., T]) -> Callable[..., T]:
    """Let errors about the arguments of what makes a task name the task, its file and the line."""

    @functools.wraps(make)
    def placed(cls: type, *args: Any, **kwargs: Any) -> T:
        try:
            return make(cls, *args, **kwargs)
        except (InvalidArgument, TypeError) as error:
            if not _is_about_arguments(error):
                raise
            failure: Exception = error
        # Outside the handler, so that it gets no context.
        task = f"task {kwargs.get('task_id')!r}"
        raise _placed(failure, task + place(), _hints(cls, kwargs, failure))

    return placed


def names_its_group(make: Callable[P, T]) -> Callable[P, T]:
    """Let errors about the arguments of what makes a task group name the group and the line."""

    @functools.wraps(make)
    def placed(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return make(*args, **kwargs)
        except InvalidArgument as error:
            failure = error
        given = inspect.signature(make).bind(*args, **kwargs)
        given.apply_defaults()
        raise _placed(failure, f"task group {given.arguments['group_id']!r}{place()}", [])

    return placed


def placed_later(failure: Exception, task_id: str, where: str) -> Exception:
    """
    Return an error about a task's arguments that shows only after its declaration.

    :param where: what :func:`place` returned then.
    """
    return _placed(failure, f"task {task_id!r}{where}", [])


def _placed(failure: Exception, what: str, hints: Sequence[str]) -> Exception:
    """Return an error with its place; one that has it already stays as it is."""
    if not hasattr(failure, _PLACED):
        setattr(failure, _PLACED, True)
        words = "\n  - ".join([str(failure), *hints])
        failure.args = (f"{what}: {words}",)
    failure.__cause__ = failure.__context__ = None
    return failure.with_traceback(None)


class Placed(BaseOperatorMeta):
    """
    Makes classes of operators whose errors about their arguments name their place.

    Around the whole call, because Airflow looks for missing arguments before any constructor.
    """

    __call__ = names_its_place(BaseOperatorMeta.__call__)


def _is_about_arguments(error: Exception) -> bool:
    words = str(error)
    return isinstance(error, InvalidArgument) or any(each in words for each in _ABOUT_ARGUMENTS)


def place() -> str:
    """Return file and line of what is being declared, in parentheses; empty if nothing is."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_between(frame):
        frame = frame.f_back
    # A mapped task is made by Airflow alone, in a worker.
    return f" ({frame.f_code.co_filename}, line {frame.f_lineno})" if frame else ""


def _is_between(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).startswith(_BETWEEN)


def _hints(cls: type, given: dict[str, Any], error: Exception) -> list[str]:
    """Say where the arguments belong that no constructor takes; Airflow's error only names them."""
    if isinstance(error, InvalidArgument):
        return []
    known = _parameters(cls)
    return [f"{name}: {place_of(name, known)}" for name in given if name not in known]


def _parameters(cls: type) -> set[str]:
    """Return the arguments that the constructors of a class and its bases take by name."""
    own = [vars(base)["__init__"] for base in cls.__mro__ if "__init__" in vars(base)]
    return {name for each in own for name in inspect.signature(each).parameters}
