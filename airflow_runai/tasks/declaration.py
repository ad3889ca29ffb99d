"""
Where a task is declared: the task's id and the line of the DAG file, for what is wrong there.

A file may declare many tasks, and Airflow shows an import error without saying which one it means.
"""

from __future__ import annotations

import functools
import inspect
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

from airflow_runai.core.habits import place_of
from airflow_runai.errors import InvalidArgument

#: Modules through which a call passes on its way from a DAG file to a constructor.
_BETWEEN = ("airflow.", "airflow_runai.")
#: How Airflow begins its error about arguments that no constructor takes.
_UNKNOWN_ARGUMENTS = "Invalid arguments were passed to"
_PLACED = "_runai_placed"


def names_its_place(constructor: Callable[..., None]) -> Callable[..., None]:
    """Let a constructor's errors about its arguments name the task, its file and the line."""

    @functools.wraps(constructor)
    def placed(self: Any, *args: Any, **kwargs: Any) -> None:
        try:
            return constructor(self, *args, **kwargs)
        except (InvalidArgument, TypeError) as error:
            if not _is_about_arguments(error):
                raise
            failure: Exception = error
        if not hasattr(failure, _PLACED):
            setattr(failure, _PLACED, True)
            words = "\n  - ".join([str(failure), *_hints(type(self), kwargs, failure)])
            failure.args = (f"{_place(kwargs.get('task_id'))}: {words}",)
        # Outside the handler, so that it gets no context.
        failure.__cause__ = failure.__context__ = None
        raise failure.with_traceback(None)

    return placed


def _is_about_arguments(error: Exception) -> bool:
    return isinstance(error, InvalidArgument) or _UNKNOWN_ARGUMENTS in str(error)


def _place(task_id: object) -> str:
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_between(frame):
        frame = frame.f_back
    # A mapped task is made by Airflow alone, in a worker.
    where = f" ({frame.f_code.co_filename}, line {frame.f_lineno})" if frame else ""
    return f"task {task_id!r}{where}"


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
