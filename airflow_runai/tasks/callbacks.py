"""
Whom to call when something happens, as plain data that a trigger can carry.

A trigger has no DAG file, so what is called must be importable by its path. The forms are those of
Airflow: a notifier, ``AsyncCallback``, ``SyncCallback``, a function of a module, or an import path.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.errors import SpecError

if TYPE_CHECKING:
    from airflow.sdk import BaseNotifier

#: By argument (``on_interruption``, ...): what to call, as ``{"path": ..., "kwargs": {...}}``.
Callbacks: TypeAlias = "dict[str, list[JsonObject]]"

_ALLOWED = (
    "allowed: an Airflow notifier, AsyncCallback, SyncCallback, a function of a module, "
    "an import path such as 'package.module.function', or a list of these"
)
#: Airflow gives the module of a DAG file a name that begins so.
_DAG_FILE = "unusual_prefix_"
_PLAIN = (str, int, float, bool, type(None))


class _Unfit(Exception):
    """Why something cannot be called from a trigger."""


def callbacks_of(given: Mapping[str, object]) -> Callbacks:
    """
    Turn arguments into plain data; those that are ``None`` or empty are left out.

    :param given: by name of the argument.
    :raises SpecError: listing what a trigger could not call, and why.
    """
    found: Callbacks = {}
    wrong: list[str] = []
    for argument, value in given.items():
        for one in value if isinstance(value, (list, tuple)) else [value]:
            try:
                if one is not None:
                    found.setdefault(argument, []).append(_plain(one))
            except _Unfit as why:
                wrong.append(f"{argument}: {why}; {_ALLOWED}")
    if wrong:
        raise SpecError(wrong)
    return found


def rendered(callbacks: Mapping[str, Sequence[JsonMapping]]) -> Callbacks:
    """
    Return callbacks after their templates, which may have become any object.

    :raises SpecError: listing what a trigger could not carry.
    """
    found: Callbacks = {}
    wrong: list[str] = []
    for argument, calls in callbacks.items():
        for call in calls:
            try:
                kwargs = _json(call["kwargs"], call["path"])
                found.setdefault(argument, []).append({**call, "kwargs": kwargs})
            except _Unfit as why:
                wrong.append(f"{argument}, after its templates are rendered: {why}")
    if wrong:
        raise SpecError(wrong)
    return found


def _plain(value: object) -> JsonObject:
    from airflow.sdk import BaseNotifier
    from airflow.sdk.definitions.callback import Callback

    if isinstance(value, str):
        return {"path": _checked(value), "kwargs": {}}
    if isinstance(value, Callback):
        return {"path": _checked(value.path), "kwargs": _json(value.kwargs, value.path)}
    if isinstance(value, BaseNotifier):
        path = _path_of(type(value))
        return {"path": path, "kwargs": _json(_arguments(value), path)}
    if isinstance(value, type):
        is_notifier = issubclass(value, BaseNotifier)
        advice = f"an instance: {value.__name__}(...)" if is_notifier else "a function"
        raise _Unfit(f"{value.__name__} is a class; give {advice}")
    if callable(value):
        return {"path": _path_of(value), "kwargs": {}}
    raise _Unfit(f"{_shown(value)} cannot be called")


def _shown(value: object) -> str:
    """Name a value: the arguments of a ``partial`` and the values of a mapping may be secrets."""
    is_number = isinstance(value, (int, float))
    return repr(value) if is_number else f"an object of type {type(value).__name__}"


def _checked(path: str) -> str:
    """Refuse what is no import path, and names that only Python itself can make."""
    words = path.strip().split(".")
    if "<lambda>" in words:
        raise _Unfit(f"{path!r} is a lambda, which has no name to import it by")
    if "<locals>" in words:
        raise _Unfit(f"{path!r} is defined inside a function, and cannot be imported")
    if len(words) < 2 or not all(word.isidentifier() for word in words):
        raise _Unfit(f"{path!r} is no import path")
    if path.startswith(_DAG_FILE) or words[0] == "__main__":
        raise _Unfit(
            f"{words[-1]!r} is defined in the DAG file, which a triggerer does not have; move it "
            "to a module that triggerers can import"
        )
    return path.strip()


def _path_of(target: Any) -> str:
    module, name = str(getattr(target, "__module__", "")), str(getattr(target, "__qualname__", ""))
    if not name:
        raise _Unfit(
            f"{_shown(target)} has no name to import it by; use AsyncCallback or SyncCallback"
        )
    path = _checked(f"{module}.{name}")
    if getattr(sys.modules.get(module), name, None) is not target:
        raise _Unfit(f"{path!r} is not at the top of its module")
    return path


def _arguments(notifier: BaseNotifier) -> JsonObject:
    """Read a notifier's arguments back; notifiers keep them under their names."""
    kind = type(notifier)
    names = [
        name
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        and name != "context"
        and hasattr(notifier, name)
    ]
    arguments = {name: getattr(notifier, name) for name in names}
    try:
        again = kind(**arguments)
    except Exception as error:
        raise _Unfit(_unreadable(kind, str(error))) from None
    lost = [name for name, value in _state(notifier) if getattr(again, name, None) != value]
    if lost:
        raise _Unfit(_unreadable(kind, f"{', '.join(lost)} would be lost"))
    return arguments


def _state(notifier: BaseNotifier) -> Iterator[tuple[str, object]]:
    for name, value in vars(notifier).items():
        if name != "context" and isinstance(value, (*_PLAIN, list, tuple, dict)):
            yield name, value


def _unreadable(kind: type, why: str) -> str:
    return (
        f"the arguments of {kind.__name__} cannot be read back ({why}); "
        f"write AsyncCallback({kind.__name__}, {{...}})"
    )


def _json(kwargs: Mapping[str, Any], path: str) -> JsonObject:
    found: JsonObject = {}
    for name, value in kwargs.items():
        try:
            found[name] = _copied(value)
        except TypeError:
            raise _Unfit(
                f"{path}: its argument {name!r} is of type {type(value).__name__}, and a trigger "
                "carries only plain texts, numbers, lists and mappings"
            ) from None
    return found


def _copied(value: object) -> Any:
    """Copy plain data, since Airflow carries few relatives of a mapping; else ``TypeError``."""
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {key: _copied(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copied(entry) for entry in value]
    if isinstance(value, _PLAIN):
        return value
    raise TypeError
