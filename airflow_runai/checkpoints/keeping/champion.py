"""
The champion pointer: one small JSON file that names the promoted checkpoint.

Readers see the old or the new pointer, never half of one. It follows the newest entry of the
history beside it (:mod:`~airflow_runai.checkpoints.keeping.champion_history`), which has the same
form.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from airflow_runai.checkpoints.storage.directory_handle import WrongKind
from airflow_runai.checkpoints.storage.small_files import FilePlace, SmallFile

#: A pointer is a few hundred bytes; a larger file is another one.
MAX_POINTER_SIZE = 1024 * 1024
#: Characters of a text in it.
_MAX_TEXT = 4096
_ADVICE = "move it away, or name another file"


def read_champion(pointer: FilePlace) -> dict[str, Any] | None:
    """
    Return the champion that a pointer names, or ``None`` if nothing was ever promoted.

    :raises ValueError: if the file is no pointer of ours, and so must not be overwritten.
    """
    try:
        content = SmallFile.of(pointer).read(MAX_POINTER_SIZE)
        too_long = len(content) > MAX_POINTER_SIZE
        document = None if too_long else json.loads(content, parse_constant=_no_json)
    except FileNotFoundError:
        return None
    except WrongKind as error:
        raise ValueError(f"{pointer}: is no champion pointer ({error}); {_ADVICE}") from error
    except (ValueError, RecursionError, IsADirectoryError):
        document = None
    if not isinstance(document, dict) or "uri" not in document:
        raise ValueError(f"{pointer}: is no champion pointer; {_ADVICE}")
    if wrong := ", ".join(wrong_in(document)):
        raise ValueError(f"{pointer}: is no champion pointer (wrong in it: {wrong}); {_ADVICE}")
    return document


def write_champion(pointer: FilePlace, champion: Mapping[str, Any]) -> None:
    """Replace the pointer in one step."""
    SmallFile.of(pointer).replace(text_of(champion))


def text_of(champion: Mapping[str, Any]) -> str:
    """
    Return the content of the file.

    :raises ValueError: if it would be no pointer.
    """
    if wrong := ", ".join(wrong_in(champion)):
        raise ValueError(f"the champion cannot be written (wrong in it: {wrong})")
    text = json.dumps(champion, indent=2, sort_keys=True, allow_nan=False) + "\n"
    if len(text) > MAX_POINTER_SIZE:
        raise ValueError(f"the champion cannot be written: larger than {MAX_POINTER_SIZE} bytes")
    return text


def number_of(champion: Mapping[str, Any]) -> int:
    """Return the number of its promotion; 0 for one from before there were numbers."""
    return int(champion.get("number", 0))


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


def wrong_in(champion: Mapping[str, Any]) -> list[str]:
    """
    Return the keys whose values could not be used or shown; null always could.

    A pointer may lie where trainings write, and goes on to XCom: databases refuse some characters.
    """
    fits = {key: _SHAPES.get(key, _is_plain) for key in champion}
    return [key for key, value in champion.items() if value is not None and not fits[key](value)]


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value.isprintable()


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: object) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    return type(value) is int and abs(value) < 2**63


def _are_metrics(value: object) -> bool:
    numbers = isinstance(value, dict) and all(map(_is_number, value.values()))
    return numbers and _is_plain(value)


def _is_mapping(value: object) -> bool:
    return isinstance(value, dict) and _is_plain(value)


def _is_plain(value: object) -> bool:
    """Whether all texts in it can be shown, and all numbers be sent."""
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, dict):
        return all(map(_is_plain, [*value, *value.values()]))
    if isinstance(value, list):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool) or _is_number(value)


_SHAPES: dict[str, Callable[[object], bool]] = {
    "uri": _is_text,
    "path": _is_text,
    "digest": _is_text,
    "step": _is_count,
    "number": _is_count,
    "metrics": _are_metrics,
    "promoted_at": _is_number,
    "run": _is_mapping,
    "rollback": _is_mapping,
    "previous": _is_mapping,
}
