"""
Walks the messages of a SavedModel's graph to their ends; detects a cut or overwritten graph.

Nothing is built. The messages are in ``saved_model.txt``; fields that are not listed there are
skipped.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader, Cursor, Field
from airflow_runai.checkpoints.storage.name_lists import read_name_lists

# The rest of a larger graph is skipped: nothing is built of it, so it is no danger.
_FIELD_LIMIT = 1_000_000
_DEPTH_LIMIT = 100
_TEXT_LIMIT = 16 * 1024 * 1024
_WIDTHS = {"f": 4, "d": 8}


def walk_graph(window: BoundedReader) -> None:
    """
    Walk the whole of ``saved_model.pb``.

    :raises FormatError: the window's code, when a message, a text or a list of numbers does not end
        where it should.
    """
    messages, count = _messages(), 0
    pending = [("SavedModel", 0, window.size, 0)]
    while pending:
        kind, begin, end, depth = pending.pop()
        for field in window.fields(begin, end):
            count += 1
            if count > _FIELD_LIMIT or depth > _DEPTH_LIMIT:
                return
            content = messages.get(kind, {}).get(field.number, "")
            if not content or not field.size:
                continue
            message = content[1:]
            if message:
                pending.append((message, field.begin, field.end, depth + 1))
            else:
                _check(window, field, content)


def _check(window: BoundedReader, field: Field, content: str) -> None:
    match content:
        case "s" if field.size <= _TEXT_LIMIT:
            _check_text(window, field)
        case "v":
            _check_numbers(window, field)
        case "f" | "d" if field.size % _WIDTHS[content]:
            text = f"a list of numbers at {field.begin} has {field.size} bytes"
            raise window.damage(f"{text}; it was cut or overwritten")


def _check_text(window: BoundedReader, field: Field) -> None:
    try:
        window.bytes(field.begin, field.size).decode("utf-8")
    except UnicodeDecodeError:
        text = f"a text at {field.begin} is not UTF-8; it was overwritten"
        raise window.damage(text) from None


def _check_numbers(window: BoundedReader, field: Field) -> None:
    place = Cursor(window, field.begin)
    while place.at < field.end:
        place.number()
    if place.at != field.end:
        text = f"a list of numbers at {field.begin} does not end at {field.end}; it was cut"
        raise window.damage(text)


@cache
def _messages() -> dict[str, dict[int, str]]:
    """Read the table: by message and number of a field, ``>`` and a message, or other content."""
    table = read_name_lists(Path(__file__).with_name("saved_model.txt"))["messages"]
    return {message: dict(_field(text) for text in fields) for message, fields in table.items()}


def _field(text: str) -> tuple[int, str]:
    content = text.lstrip("0123456789")
    return int(text[: -len(content)]), content
