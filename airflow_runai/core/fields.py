"""
The fields of a specification: declared, read from a plain mapping, checked, written to the wire.

A field is declared once: its name, the name on the wire, and a :data:`Check` that turns what a DAG
author wrote into the value that is sent. Jinja renders everything to text, so checks for numbers
and booleans accept their text form. All mistakes are collected; none stops the reading.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, field, fields
from typing import Any, TypeVar

from airflow_runai.core.texts import cut

P = TypeVar("P")

#: Turns a value into what the dataclass keeps, or raises ``ValueError`` with "found …; allowed …;
#: do …".
Check = Callable[[Any], Any]

_QUANTITY = re.compile(r"\d+(\.\d+)?([kKMGTPE]i?|m)?")
_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


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
        found = f"{cut(repr(value), 80)} is a {type(value).__name__}"
        problems.append(f"{path}: {found}; allowed: a mapping of {_names(cls)}")
        return cls()
    problems.extend(unknown_keys(cls, value, path))
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
        problems.append(f"{path}: {error}")
    return None


def unknown_keys(cls: type, value: Mapping[Any, Any], path: str) -> list[str]:
    """Name each key that ``cls`` does not declare, with the nearest valid name."""
    return [
        f"{path}.{key}: unknown key; {nearest(str(key), declared(cls))}"
        for key in value
        if key not in declared(cls)
    ]


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return "did you mean …" if one is near, else the list of valid names."""
    names = sorted(valid)
    hits = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"did you mean {hits[0]!r}?" if hits else f"allowed: {', '.join(names)}"


def write(part: Any) -> dict[str, Any]:
    """Return the wire form of a part: only what was set; null may mean something else."""
    written: dict[str, Any] = {}
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


def text(value: Any) -> str:
    """Accept a non-empty text."""
    if isinstance(value, (list, tuple)):
        raise ValueError(
            f"{value!r} is a list; allowed: one text, as a shell would read it; "
            "join it with shlex.join([...])"
        )
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{value!r}; allowed: a text that is not empty")
    return value


def image_name(value: Any) -> str:
    """Accept a name of an image, but no placeholder like ``<image>``."""
    name = text(value)
    if re.search(r"<[^<>]*>", name):
        raise ValueError(f"{name!r} is a placeholder; fill it in, without < and >")
    return sendable(name)


def sendable(value: str) -> str:
    """Refuse half a character, which cannot be sent."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ValueError(
            f"{cut(repr(value), 80)} has half a character (a lone surrogate); type it anew"
        ) from None
    return value


def one_of(*allowed: str) -> Check:
    """Accept one of the given words."""

    def check(value: Any) -> str:
        if value not in allowed:
            raise ValueError(
                f"{value!r}; {nearest(str(value), allowed)} (allowed: {', '.join(allowed)})"
            )
        return str(value)

    return check


def whole(low: int, high: int | None = None) -> Check:
    """Accept a whole number in the closed range."""
    span = f"a whole number of at least {low}" + ("" if high is None else f" and at most {high}")

    def check(value: Any) -> int:
        number = _integer(value)
        if number is None or number < low or (high is not None and number > high):
            raise ValueError(f"{value!r}; allowed: {span}")
        return number

    return check


def _integer(value: Any) -> int | None:
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        return None
    try:
        return int(value)
    except (TypeError, ValueError):
        return None


def number(low: float, high: float | None = None, instead: str = "") -> Check:
    """Accept a number in ``(low, high]``; ``instead`` says what to do otherwise."""
    span = f"numbers greater than {low:g}" if high is None else f"({low:g}, {high:g}]"
    advice = f"; {instead}" if instead else ""
    highest = sys.float_info.max if high is None else high

    def check(value: Any) -> float:
        found = _float(value)
        if not low < found <= highest:
            raise ValueError(f"{value!r}; allowed: {span}{advice}")
        return found

    return check


def _float(value: Any) -> float:
    try:
        return math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        return math.nan


def quantity(value: Any) -> str:
    """Accept a Kubernetes quantity such as ``500M`` or ``16Gi``."""
    written = str(value) if isinstance(value, (str, int)) else ""
    if not _QUANTITY.fullmatch(written):
        raise ValueError(
            f"{value!r}; allowed: a quantity such as '500M' or '16Gi' "
            "(k, M, G, T, with or without i)"
        )
    return written


def flag(value: Any) -> bool:
    """Accept a boolean, or the text that Jinja makes of one."""
    if isinstance(value, bool):
        return value
    if isinstance(value, str) and value.strip().lower() in (*_TRUE, *_FALSE):
        return value.strip().lower() in _TRUE
    raise ValueError(f"{value!r}; allowed: true or false")


def absolute_path(value: Any) -> str:
    """Accept an absolute POSIX path inside the container."""
    if not text(value).startswith("/"):
        raise ValueError(
            f"{value!r}; allowed: an absolute path in the container, such as '/workspace'"
        )
    return str(value)


def texts(value: Any) -> tuple[str, ...]:
    """Accept a list of texts."""
    if isinstance(value, (str, bytes)) or not isinstance(value, (list, tuple)):
        raise ValueError(f"{value!r}; allowed: a list of texts")
    return tuple(text(entry) for entry in value)


def part(cls: type[Any]) -> Check:
    """Accept a mapping that ``cls`` describes."""

    def check(value: Any) -> Any:
        problems: list[str] = []
        found = read(cls, value, "", problems)
        if problems:
            raise Problems([p if p.startswith((".", ":")) else f": {p}" for p in problems])
        return found

    return check


def parts(cls: type[Any]) -> Check:
    """Accept a list of mappings that ``cls`` describes."""

    def check(value: Any) -> tuple[Any, ...]:
        if isinstance(value, Mapping) or not isinstance(value, (list, tuple)):
            raise ValueError(
                f"a {type(value).__name__}; allowed: a list of mappings of {_names(cls)}"
            )
        problems: list[str] = []
        found = []
        for index, entry in enumerate(value):
            found.append(read(cls, entry, f"[{index}]", problems))
            if entry == {}:
                problems.append(f"[{index}]: empty; allowed: a mapping of {_names(cls)}")
        if problems:
            raise Problems(problems)
        return tuple(found)

    return check


def mapping(value: Any) -> dict[str, Any]:
    """Accept any mapping with text keys, untouched."""
    if not isinstance(value, Mapping) or any(not isinstance(key, str) for key in value):
        raise ValueError(f"a {type(value).__name__}; allowed: a mapping with text keys")
    return dict(value)


def as_json(value: Any) -> dict[str, Any]:
    """Accept a mapping that can be sent as it is."""
    content = mapping(value)
    try:
        json.dumps(content, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"cannot be sent as JSON ({error}); allowed: texts, numbers, booleans, lists, mappings"
        ) from None
    return content


def named_texts(value: Any) -> dict[str, str]:
    """Accept a mapping from names to scalars; numbers and booleans become text."""
    scalars = mapping(value)
    wrong = [key for key, entry in scalars.items() if not isinstance(entry, (str, int, float))]
    if wrong:
        raise ValueError(
            f"{', '.join(wrong)} does not hold a scalar; "
            "allowed: a mapping from names to texts or numbers"
        )
    return {key: scalar(entry) for key, entry in scalars.items()}


def scalar(value: str | int | float) -> str:
    """Return the text of a scalar as a shell would expect it (``true``, not ``True``)."""
    return str(value).lower() if isinstance(value, bool) else str(value)
