"""
Values of flags, read and written back.

The command line interfaces are Go programs, so booleans and durations follow Go. Each reader raises
``ValueError`` with "value; allowed; remedy", as the checks of :mod:`airflow_runai.core.fields` do.
"""

from __future__ import annotations

import re

_TRUE, _FALSE = ("1", "t", "T", "TRUE", "true", "True"), ("0", "f", "F", "FALSE", "false", "False")
_SECONDS = {
    "d": 86400.0,
    "h": 3600.0,
    "m": 60.0,
    "s": 1.0,
    "ms": 1e-3,
    "us": 1e-6,
    "µs": 1e-6,
    "ns": 1e-9,
}
_AMOUNT = re.compile(r"(\d+\.?\d*|\.\d+)(ms|us|µs|ns|[dhms])")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)([kmgtpe])(i?)b", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def is_go_boolean(value: str) -> bool:
    """Return whether Go's ``strconv.ParseBool`` reads ``value``; it does not read ``yes``."""
    return value in (*_TRUE, *_FALSE)


def go_boolean(value: str) -> bool:
    """Read a boolean as Go's ``strconv.ParseBool`` does."""
    if not is_go_boolean(value):
        allowed = ", ".join((*_TRUE, *_FALSE))
        raise ValueError(f"{value!r} is not a boolean; allowed: {allowed}, or the flag alone")
    return value in _TRUE


def seconds(value: str) -> int:
    """
    Read a Go duration such as ``1h30m``, rounded to seconds.

    Days are read too: the reference of the command line promises ``4d``, though Go has no such
    unit.
    """
    parts = _AMOUNT.findall(value)
    # Go takes a bare 0, and no other number without its unit.
    if value == "0" or (parts and not _AMOUNT.sub("", value)):
        return round(sum(float(amount) * _SECONDS[unit] for amount, unit in parts))
    raise ValueError(
        f"{value!r} is not a duration; allowed: numbers with d, h, m or s, such as 90s, 2m or 1h30m"
    )


def without_byte(value: str) -> str:
    """
    Return ``10G`` for ``10GB``.

    A Kubernetes quantity has no B, and the command line itself would refuse it. It is accepted (the
    caller warns) because the meaning is beyond doubt, and public pages write it so.
    """
    match = _BYTES.fullmatch(value)
    if not match:
        return value
    number, unit, binary = match.groups()
    # Decimal kilo is the one lower-case prefix: 10k, but 10Ki, 10M, 10Mi.
    prefix = "k" if unit in "kK" and not binary else unit.upper()
    return f"{number}{prefix}{binary.lower()}"


def size(value: str) -> float:
    """Return the bytes of a quantity such as ``500M`` or ``16Gi``."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGTPE]?)(i?)", value.replace("K", "k"))
    if not match:
        raise ValueError(f"{value!r}; allowed: a quantity such as '500M' or '16Gi'")
    number, prefix, binary = match.groups()
    base = 1024 if binary else 1000
    return float(number) * float(base ** _POWERS[prefix])


def cores(value: str) -> str:
    """Return the number of ``0.5`` or of the quantity ``500m``."""
    match = re.fullmatch(r"(\d+)m", value)
    return str(int(match[1]) / 1000) if match else value


def number(value: float) -> str:
    """Write a number as people do: ``4``, not ``4.0``."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def pair(value: str) -> tuple[str, str]:
    """
    Split ``KEY=VALUE`` on the first ``=``.

    CLI v1 itself split on every one and lost the rest. The value is never shown: it may be a
    secret.
    """
    name, equals, text = value.partition("=")
    if not equals or not name:
        raise ValueError(
            "found no '=' with a name before it (the value is not shown); allowed: KEY=VALUE"
        )
    return name, text


def show_pair(item: tuple[str, str]) -> str:
    """Write ``KEY=VALUE``."""
    name, value = item
    if "=" in name or not name:
        raise ValueError(f"{name!r} cannot stand before a '='; allowed: names without one")
    return f"{name}={value}"


def group_ids(value: str) -> str:
    """Accept numbers with commas between."""
    if not re.fullmatch(r"\d+(,\d+)*", value):
        raise ValueError(f"{value!r}; allowed: numbers with commas between, such as 10,20")
    return value
