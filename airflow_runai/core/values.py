"""
Checks of single values: each returns the value that is kept, or raises ``ValueError``.

Jinja renders everything to text, so checks for numbers and booleans accept their text form.
"""

from __future__ import annotations

import difflib
import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.texts import cut

#: Turns a value into what the dataclass keeps, or raises ``ValueError`` with "found …; allowed …;
#: do …".
Check = Callable[[Any], Any]


_QUANTITY = re.compile(r"\d+(\.\d+)?([kKMGTPE]i?|m)?")


_TRUE, _FALSE = ("true", "yes", "1"), ("false", "no", "0")


def nearest(word: str, valid: Iterable[str]) -> str:
    """Return "did you mean …" if one is near, else the list of valid names."""
    names = sorted(valid)
    hits = difflib.get_close_matches(word.lower(), names, n=1, cutoff=0.6)
    return f"did you mean {hits[0]!r}?" if hits else f"allowed: {', '.join(names)}"


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


def count_problems(given: Mapping[str, tuple[object, int]]) -> list[str]:
    """
    Say of each value that it is no whole number, or less than it may be; texts are none.

    :param given: values by name, each with the least that is allowed.
    """
    return [
        f"{name}: {value!r}; allowed: a whole number from {least}"
        for name, (value, least) in given.items()
        if isinstance(value, bool) or not isinstance(value, int) or value < least
    ]


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
    # int() would take true for 1, and cut 2.5 to 2.
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
        # NaN lies in no range, so it stands for whatever is no number.
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


def mapping(value: Any) -> JsonObject:
    """Accept any mapping with text keys, untouched."""
    if not isinstance(value, Mapping) or any(not isinstance(key, str) for key in value):
        raise ValueError(f"a {type(value).__name__}; allowed: a mapping with text keys")
    return dict(value)


def as_json(value: Any) -> JsonObject:
    """Accept a mapping that can be sent as it is."""
    content = mapping(value)
    try:
        # NaN is not JSON, though Python writes it; sorting finds keys of mixed types.
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
