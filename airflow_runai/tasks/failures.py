"""
How a task fails: its reason is one error in the task's log, and an exception without history.

Airflow logs an exception with all that led to it, a frame a line. A sentence at the end of such a
page is not read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar

from airflow.sdk.exceptions import (
    AirflowException,
    AirflowRescheduleException,
    AirflowSkipException,
)

from airflow_runai.errors import RunaiError
from airflow_runai.tasks.declaration import Placed

T = TypeVar("T")

#: Attribute of an exception whose words are in the log already.
_TOLD = "_runai_told"


class ReadableTask(metaclass=Placed):
    """
    Makes an operator or a sensor of this package fail readably, when it is made and when it runs.

    To be named after Airflow's class. What others derive is theirs, and stays as it is.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if not cls.__module__.startswith("airflow_runai."):
            return
        for name, wrapper in _WRAPPERS.items():
            if name in vars(cls):
                setattr(cls, name, wrapper(vars(cls)[name]))


def fails_readably(entry: Callable[..., T]) -> Callable[..., T]:
    """
    Let a method that Airflow calls fail readably.

    What a user or the platform did is logged as one error, one problem a line. The exception leaves
    without cause, without context, and without the frames below this one. Any other exception is a
    bug of ours, and keeps them all.
    """

    @functools.wraps(entry)
    def readable(self: Any, *args: Any, **kwargs: Any) -> T:
        try:
            return entry(self, *args, **kwargs)
        except (AirflowSkipException, AirflowRescheduleException):
            raise
        except (RunaiError, AirflowException) as error:
            failure: Exception = error
        if not hasattr(failure, _TOLD):  # by an entry within this one
            setattr(failure, _TOLD, True)
            # The operator's own logger: what it says reaches the task's log everywhere.
            self.log.error("%s", failure)
        # Outside the handler, so that it gets no context.
        failure.__cause__ = failure.__context__ = None
        raise failure.with_traceback(None)

    return readable


_WRAPPERS: dict[str, Callable[[Callable[..., Any]], Callable[..., Any]]] = {
    "execute": fails_readably,
    "execute_complete": fails_readably,
    "execute_in_turn": fails_readably,
    "poke": fails_readably,
}
