"""
The fields of a specification: declared, read from a plain mapping, checked, written to the wire.

A field is declared once: its name, the name on the wire, and a :data:`Check` that turns what a DAG
author wrote into the value that is sent. All mistakes are collected; none stops the reading.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, field, fields
from typing import Any, Protocol, TypeVar, runtime_checkable

from airflow_runai.core.habits import place_of
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.texts import cut
from airflow_runai.core.values import Check

P = TypeVar("P")


def wire(name: str, check: Check, doc: str, write: Callable[[Any], Any] | None = None) -> Any:
    """
    Declare a field.

    :param name: its name on the wire.
    :param check: see :data:`Check`.
    :param doc: meaning, unit and range; the documentation's table is made from it.
    :param write: turns the kept value into JSON; parts and lists of parts write themselves.
    """
    return field(
        default=None, metadata={"wire": name, "check": check, "doc": doc, "write": write or _plain}
    )


def declared(cls: type) -> dict[str, Field[Any]]:
    """Return the fields of a specification class by the name a DAG author uses."""
    return {item.name: item for item in fields(cls) if "check" in item.metadata}


def read(cls: type[P], value: object, path: str, problems: list[str]) -> P:
    """
    Build ``cls`` from a mapping; append one sentence per mistake to ``problems``.

    :param path: the place of ``value`` in messages, for example ``spec.compute``.
    """
    if not isinstance(value, Mapping):
        found = f"{_shown(cut(repr(value), 80))} is a {type(value).__name__}"
        problems.append(f"{path}: {found}; allowed: a mapping of {_names(cls)}")
        return cls()
    problems += unknown_keys(cls, value, path)
    # Null means "not set", as in YAML; whatever is set is checked, "" and 0 too.
    checked = {
        name: _checked(item, value[name], f"{path}.{name}", problems)
        for name, item in declared(cls).items()
        if value.get(name) is not None
    }
    return cls(**checked)


def _checked(item: Field[Any], value: Any, path: str, problems: list[str]) -> Any:
    try:
        return item.metadata["check"](value)
    except Problems as error:
        problems.extend(f"{path}{sentence}" for sentence in error.sentences)
    except ValueError as error:
        problems.append(f"{path}: {_shown(str(error))}")
    return None


def _shown(sentence: str) -> str:
    """Return a sentence without secrets in the value that it found: in a command, for example."""
    # Imported here: DAGs without mistakes need not pay for its patterns.
    from airflow_runai.core.mask import hidden

    found, separator, allowed = sentence.partition("; allowed")
    return f"{hidden(found)}{separator}{allowed}"


def unknown_keys(cls: type, value: Mapping[Any, Any], path: str) -> list[str]:
    """Name each key that ``cls`` does not declare, with the nearest valid name."""
    return [
        f"{path}.{key}: unknown key; {place_of(str(key), declared(cls), path)}"
        for key in value
        if key not in declared(cls)
    ]


def nested_unknown_keys(cls: type, value: object, path: str) -> list[str]:
    """
    Name each unknown key of a mapping and of whatever it holds, and each list in a mapping's place.

    Looks at no value but mappings and lists, so that values may still be templates.
    """
    if isinstance(value, (list, tuple)):
        return [f"{path}: a {type(value).__name__}; allowed: a mapping of {_names(cls)}"]
    if not isinstance(value, Mapping):
        return []
    problems = unknown_keys(cls, value, path)
    for name, item in declared(cls).items():
        check = item.metadata["check"]
        if isinstance(check, KeyedCheck):
            problems += check.unknown_keys(value.get(name), f"{path}.{name}")
    return problems


def write(part: Any) -> JsonObject:
    """Return the wire form of a part: only what was set; null may mean something else."""
    written: JsonObject = {}
    for name, item in declared(type(part)).items():
        value = getattr(part, name)
        entry = None if value is None else item.metadata["write"](value)
        if entry is not None:
            written[item.metadata["wire"]] = entry
    return written


def _plain(value: Any) -> Any:
    if hasattr(value, "__dataclass_fields__"):
        return write(value) or None
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return value


class Problems(ValueError):
    """Several mistakes inside one field; each sentence starts with the rest of its path."""

    def __init__(self, sentences: list[str]) -> None:
        self.sentences = sentences
        super().__init__("; ".join(sentences))


def _names(cls: type) -> str:
    return ", ".join(sorted(declared(cls)))


@runtime_checkable
class KeyedCheck(Protocol):
    """A check that knows the keys of what it accepts."""

    def unknown_keys(self, value: object, path: str) -> list[str]:
        """Name what is wrong with the keys, whatever the values."""


class Part:
    """Accepts a mapping that ``cls`` describes."""

    def __init__(self, cls: type[Any]) -> None:
        self.cls = cls

    def __call__(self, value: Any) -> Any:
        """Return the part; raises ``Problems``."""
        problems: list[str] = []
        found = read(self.cls, value, "", problems)
        if problems:
            raise Problems([p if p.startswith((".", ":")) else f": {p}" for p in problems])
        return found

    def unknown_keys(self, value: object, path: str) -> list[str]:
        """Name each unknown key."""
        return nested_unknown_keys(self.cls, value, path)


class Parts(Part):
    """Accepts a list of mappings that ``cls`` describes."""

    def __call__(self, value: Any) -> tuple[Any, ...]:
        """Return the parts; raises ``Problems``."""
        if not isinstance(value, (list, tuple)):
            raise ValueError(self._no_list(value))
        problems: list[str] = []
        found = []
        for index, entry in enumerate(value):
            found.append(read(self.cls, entry, f"[{index}]", problems))
            if entry == {}:
                problems.append(f"[{index}]: empty; allowed: a mapping of {_names(self.cls)}")
        if problems:
            raise Problems(problems)
        return tuple(found)

    def unknown_keys(self, value: object, path: str) -> list[str]:
        """Name each unknown key of each entry, or say that a mapping is no list."""
        if isinstance(value, Mapping):
            return [f"{path}: {self._no_list(value)}"]
        entries = value if isinstance(value, (list, tuple)) else ()
        problems = (
            nested_unknown_keys(self.cls, entry, f"{path}[{index}]")
            for index, entry in enumerate(entries)
        )
        return [problem for one in problems for problem in one]

    def _no_list(self, value: object) -> str:
        return f"a {type(value).__name__}; allowed: a list of mappings of {_names(self.cls)}"
