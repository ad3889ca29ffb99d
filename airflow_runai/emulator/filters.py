"""
``filterBy``, ``sortBy`` and paging, as the vendor's lists have them.

One filter is ``field OP value``; several are joined by commas and must all hold; a comma inside a
value cannot be escaped. A field nobody knows is refused: the vendor does not say what happens, and
silence would hide mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timezone
from typing import Any

from airflow_runai.emulator.replies import ApiError

_FILTER = re.compile(r"\s*(\w+)\s*(==|!=|<=|>=|=@|!@|=\^|=\$)(.*)", re.DOTALL)
DEFAULT_LIMIT, MAX_LIMIT = 50, 500

_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda have, want: bool(have == want),
    "!=": lambda have, want: bool(have != want),
    "<=": lambda have, want: bool(have <= want),
    ">=": lambda have, want: bool(have >= want),
    "=@": lambda have, want: str(want).lower() in str(have).lower(),
    "!@": lambda have, want: str(want).lower() not in str(have).lower(),
    "=^": lambda have, want: str(have).startswith(str(want)),
    "=$": lambda have, want: str(have).endswith(str(want)),
}

Items = list[dict[str, Any]]


def filtered(items: Items, text: str | None, fields: Mapping[str, str]) -> Items:
    """
    Keep the items for which all filters hold.

    :param text: the value of ``filterBy``; None or empty keeps all.
    :param fields: names that can be filtered on, and where their value is in an item (dotted).
    """
    for part in [part for part in (text or "").split(",") if part]:
        match = _FILTER.fullmatch(part)
        if match is None:
            raise ApiError(
                400,
                f"filterBy: {part!r} is not 'field operator value' with one of {' '.join(_TESTS)}",
            )
        name, operator, value = match[1], match[2], match[3].strip()
        where = _known(name, fields, "filterBy")
        items = [item for item in items if _holds(_get(item, where), operator, value)]
    return items


def ordered(items: Items, by: str | None, order: str | None, fields: Mapping[str, str]) -> Items:
    """Sort by a field; items without a value come last, equal ones keep their order."""
    if order not in (None, "", "asc", "desc"):
        raise ApiError(400, f"sortOrder: {order!r} is neither asc nor desc")
    if not by:
        return items
    where = _known(by, fields, "sortBy")
    having = [item for item in items if _get(item, where) is not None]
    lacking = [item for item in items if _get(item, where) is None]
    return (
        sorted(having, key=lambda item: _comparable(_get(item, where)), reverse=order == "desc")
        + lacking
    )


def page(
    items: Sequence[Any], query: Mapping[str, str], strict: bool = False
) -> tuple[list[Any], int | None]:
    """
    Cut a page out of a list.

    :param strict: refuse a limit above 500 instead of cutting it.
    :return: the page, and the offset of the next one, None at the end.
    """
    offset, limit = _number(query, "offset", 0, 0), _number(query, "limit", DEFAULT_LIMIT, 1)
    if limit > MAX_LIMIT and strict:
        raise ApiError(400, f"limit: {limit} is not in 1..{MAX_LIMIT}")
    end = offset + min(limit, MAX_LIMIT)
    return list(items[offset:end]), end if end < len(items) else None


def _known(name: str, fields: Mapping[str, str], where: str) -> str:
    if name not in fields:
        raise ApiError(
            400, f"{where}: unknown field {name!r}; known are {', '.join(sorted(fields))}"
        )
    return fields[name]


def _get(item: Mapping[str, Any], where: str) -> Any:
    value: Any = item
    for part in where.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _holds(have: Any, operator: str, text: str) -> bool:
    if have is None:
        return operator in ("!=", "!@")
    if isinstance(have, list):
        return any(_holds(one, operator, text) for one in have)
    if operator in ("=@", "!@", "=^", "=$"):
        return _TESTS[operator](have, text)
    left, right = _comparable(have), _comparable(text)
    if type(left) is not type(right):
        left, right = str(have), text
    return _TESTS[operator](left, right)


def _comparable(value: Any) -> Any:
    """Turn instants and numbers, also written ones, into floats, and leave the rest as text."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)):
        return float(value)
    text = str(value)
    try:
        return float(text)
    except ValueError:
        return _instant(text)


def _instant(text: str) -> Any:
    if not re.match(r"\d{4}-\d\d-\d\d", text):
        return text
    try:
        moment = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace(" ", "+"))
    except ValueError:
        return text
    return (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()


def _number(query: Mapping[str, str], name: str, default: int, least: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise ApiError(400, f"{name}: {text!r} is not a number of {least} or more")
    return int(text)
