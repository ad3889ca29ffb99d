"""
Small JSON files that come with checkpoints, read with limits.

Refuses what ``json.loads`` forgives: two keys of one name (readers differ in which one wins),
numbers of a million digits, and documents that would take far more memory than their size.
"""

from __future__ import annotations

import json
from typing import Any, NoReturn

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.storage.listing import Listing

#: A JSON object.
Document = dict[str, Any]

#: An index of 100,000 tensors takes about 10 MB.
SIZE_LIMIT = 16 * 1024 * 1024
# An object of Python takes 50 bytes and more, whatever its text takes: 16 MB of "[" would take GBs.
_TOKEN_LIMIT = 1_500_000
_TOKENS = (b'"', b",", b"[", b"{")
# Reading a number takes time that grows with the square of its digits.
_DIGIT_LIMIT = 40


def read_object(tree: Listing, context: CheckContext, name: str) -> Document:
    """
    Read one JSON object that lies in the checkpoint.

    :param name: relative path of the file.
    :raises FormatError: ``json-malformed``, or as
        :class:`~airflow_runai.checkpoints.checking.reader.Source`.
    """
    with Source(tree.narrowed_to(name), context) as source:
        if source.size > SIZE_LIMIT:
            text = f"{name}: {source.size} bytes; at most {SIZE_LIMIT} are read"
            raise FormatError("json-malformed", text)
        return parse_object(source.at(0, source.size), "json-malformed", name)


def parse_object(data: bytes, code: str, place: str) -> Document:
    """
    Parse one JSON object.

    :param code: code of the damage to raise.
    :param place: what is parsed, for the message.
    :raises FormatError: if it is anything else.
    """
    tokens = sum(map(data.count, _TOKENS))
    if tokens > _TOKEN_LIMIT:
        text = f"{place}: more than {_TOKEN_LIMIT} tokens; no checkpoint needs as many"
        raise FormatError(code, text)
    try:
        text = data.decode("utf-8")
        value = json.loads(text, object_pairs_hook=_without_duplicates, parse_int=_short_int)
    except (ValueError, RecursionError) as error:
        text = f"{place}: is not JSON ({error}); it was cut or overwritten"
        raise FormatError(code, text[:300]) from None
    if not isinstance(value, dict):
        raise FormatError(code, f"{place}: is not a JSON object")
    return value


def _without_duplicates(pairs: list[tuple[str, Any]]) -> Document:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        _refuse(f"key {shown(twice)} is there twice")
    return result


def _short_int(text: str) -> int:
    if len(text) > _DIGIT_LIMIT:
        _refuse(f"a number of {len(text)} digits")
    return int(text)


def _refuse(what: str) -> NoReturn:
    raise ValueError(what)
