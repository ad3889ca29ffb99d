"""
``filterBy``, ``sortBy`` and paging, as the vendor's lists have them.

One filter is ``field OP value``; several are joined by commas and must all hold; a comma inside a
value cannot be escaped. An unknown field is refused: the vendor does not say what happens, and
silence would hide mistakes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply, JsonObject

_FILTER = re.compile(r"\s*(\w+)\s*(==|!=|<=|>=|=@|!@|=\^|=\$)(.*)", re.DOTALL)
DEFAULT_LIMIT = 50
MAX_LIMIT = 500

_TESTS: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda have, want: bool(have == want),
    "!=": lambda have, want: bool(have != want),
    "<=": lambda have, want: bool(have <= want),
    ">=": lambda have, want: bool(have >= want),
    # Contains, does not contain, begins with, ends with.
    "=@": lambda have, want: str(want).lower() in str(have).lower(),
    "!@": lambda have, want: str(want).lower() not in str(have).lower(),
    "=^": lambda have, want: str(have).startswith(str(want)),
    "=$": lambda have, want: str(have).endswith(str(want)),
}

Items = list[JsonObject]


@dataclass(frozen=True)
class Filter:
    """
    One condition of ``filterBy``.

    :param path: where the value is in an item, dotted.
    """

    path: str
    operator: str
    value: str

    def fits(self, item: JsonObject) -> bool:
        """Whether it holds for an item."""
        return self.accepts(_get(item, self.path))

    def accepts(self, have: Any) -> bool:
        """Whether it holds for the value of its field."""
        return _holds(have, self.operator, self.value)


def parsed(text: str | None, fields: Mapping[str, str]) -> list[Filter]:
    """
    Read filters.

    :param text: the value of ``filterBy``; None or empty for no filter.
    :param fields: names that can be filtered on, and where their value is in an item (dotted).
    :raises ApiError: an unknown field, or not a filter.
    """
    parts = (text or "").split(",")
    return [_filter(part, fields) for part in parts if part]


def _filter(part: str, fields: Mapping[str, str]) -> Filter:
    match = _FILTER.fullmatch(part)
    if match is None:
        operators = " ".join(_TESTS)
        raise ApiError(
            400,
            f"filterBy: {part!r} is not 'field operator value' with one of {operators}",
        )
    name, operator, value = match.groups()
    return Filter(_path(name, fields, "filterBy"), operator, value.strip())


def filtered(items: Items, filters: Iterable[Filter]) -> Items:
    """Keep the items for which all filters hold."""
    for one in filters:
        items = [item for item in items if one.fits(item)]
    return items


def ordered(
    items: Items,
    by: str | None,
    order: str | None,
    fields: Mapping[str, str],
) -> Items:
    """Sort by a field; items without a value come last, equal ones keep their order."""
    if order not in (
        None,
        "",
        "asc",
        "desc",
    ):
        raise ApiError(400, f"sortOrder: {order!r} is neither asc nor desc")
    if not by:
        return items
    path = _path(by, fields, "sortBy")
    with_value = [item for item in items if _get(item, path) is not None]
    without = [item for item in items if _get(item, path) is None]
    # A stable sort, so that pages do not overlap where values are equal.
    with_value.sort(key=lambda item: _comparable(_get(item, path)), reverse=order == "desc")
    return with_value + without


def filtered_and_ordered(items: Items, call: ApiCall, fields: Mapping[str, str]) -> Items:
    """Apply a call's ``filterBy``, ``search``, ``sortBy`` and ``sortOrder``."""
    query = call.query
    items = filtered(items, parsed(query.get("filterBy"), fields))
    search = query.get("search", "").lower()
    if search:
        items = [item for item in items if search in item["name"].lower()]
    return ordered(items, query.get("sortBy"), query.get("sortOrder"), fields)


def paged(
    items: Sequence[Any],
    call: ApiCall,
    key: str,
    strict: bool,
) -> ApiReply:
    """Reply with the page of a list that the call requests, under this key."""
    shown, following = page(items, call.query, strict)
    return ApiReply(
        {key: shown}
        if following is None
        else {
            key: shown,
            "next": following,
        }
    )


def page(
    items: Sequence[Any], query: Mapping[str, str], strict: bool = False
) -> tuple[list[Any], int | None]:
    """
    Cut a page out of a list.

    :param strict: refuse a limit above 500 instead of cutting it.
    :return: the page, and the offset of the next one, None at the end.
    """
    # The vendor bounds the limit only.
    offset = 0 if query.get("offset", "").startswith("-") else _number(query, "offset", 0, 0)
    limit = _number(
        query,
        "limit",
        default=DEFAULT_LIMIT,
        least=1,
    )
    if limit > MAX_LIMIT and strict:
        raise ApiError(400, f"limit: {limit} is not in 1..{MAX_LIMIT}")
    # Whether the vendor refuses a larger page or cuts it is not documented: both can be had.
    end = offset + min(limit, MAX_LIMIT)
    return list(items[offset:end]), end if end < len(items) else None


def _path(name: str, fields: Mapping[str, str], parameter: str) -> str:
    if name not in fields:
        known = ", ".join(sorted(fields))
        raise ApiError(400, f"{parameter}: unknown field {name!r}; known are {known}")
    return fields[name]


def _get(item: Mapping[str, Any], path: str) -> Any:
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _holds(have: Any, operator: str, text: str) -> bool:
    # An item without the field fits only negations.
    if have is None:
        return operator in ("!=", "!@")
    # Of several values one is enough, as with node pools.
    if isinstance(have, list):
        return any(_holds(one, operator, text) for one in have)
    if operator in (
        "=@",
        "!@",
        "=^",
        "=$",
    ):
        return _TESTS[operator](have, text)
    left = _comparable(have)
    right = _comparable(text)
    # A number and a word, such as priority==high, are compared as texts.
    if type(left) is not type(right):
        left = str(have)
        right = text
    return _TESTS[operator](left, right)


def _comparable(value: Any) -> Any:
    """Turn numbers and instants, also written as text, into floats; the rest stays text."""
    # Before the numbers, since to Python a truth value is one.
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
        # A plus sign arrives as a blank if the client did not escape it.
        instant = datetime.fromisoformat(text.strip().replace("Z", "+00:00").replace(" ", "+"))
    except ValueError:
        return text
    # All times on the wire are UTC, so one without a zone is, too.
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=timezone.utc)
    return instant.timestamp()


def _number(
    query: Mapping[str, str],
    name: str,
    default: int,
    least: int,
) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise ApiError(400, f"{name}: {text!r} is not a number of {least} or more")
    return int(text)
