"""
How the values of flags are written, and how they are written back.

The command line interfaces are Go programs, so booleans and durations follow Go. Each reader raises
``ValueError`` with "found; allowed; what to do", as the checks of :mod:`airflow_runai.core.fields`
do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_runai.core.fields import nearest
from airflow_runai.core.secrets import in_address

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
_STRETCH = re.compile(r"(\d+\.?\d*|\.\d+)(ms|us|µs|ns|[dhms])")
_BYTES = re.compile(r"(\d+(?:\.\d+)?)([kmgtpe])(i?)b", re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "M": 2, "G": 3, "T": 4, "P": 5, "E": 6}


def go_boolean(value: str) -> bool:
    """Read what Go's ``strconv.ParseBool`` reads; ``yes`` is not among it."""
    if value not in (*_TRUE, *_FALSE):
        raise ValueError(
            f"{value!r} is no boolean; allowed: {', '.join((*_TRUE, *_FALSE))}, or the flag alone"
        )
    return value in _TRUE


def seconds(value: str) -> int:
    """
    Read a Go duration such as ``1h30m``, rounded to seconds.

    Days are read too: the reference of the command line promises ``4d``, though Go knows no such
    unit.
    """
    if value == "0" or (value and _STRETCH.sub("", value) == ""):
        return round(
            sum(float(amount) * _SECONDS[unit] for amount, unit in _STRETCH.findall(value))
        )
    raise ValueError(
        f"{value!r} is no duration; allowed: numbers with d, h, m or s, such as 90s, 2m or 1h30m"
    )


def without_byte(value: str) -> str:
    """
    Return ``10G`` for ``10GB``: a Kubernetes quantity has no B, and the command line itself would refuse it.

    It is accepted (the caller warns) because the meaning is beyond doubt, and pages of others write
    it so.
    """
    found = _BYTES.fullmatch(value)
    if not found:
        return value
    unit = found[2].upper() if found[2] not in "kK" or found[3] else "k"
    return f"{found[1]}{unit}{found[3].lower()}"


def size(value: str) -> float:
    """Return the bytes of a quantity such as ``500M`` or ``16Gi``."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kMGTPE]?)(i?)", value.replace("K", "k"))
    if not found:
        raise ValueError(f"{value!r}; allowed: a quantity such as '500M' or '16Gi'")
    return float(found[1]) * float((1024 if found[3] else 1000) ** _POWERS[found[2]])


def cores(value: str) -> str:
    """Return the number of ``0.5`` or of the quantity ``500m``."""
    found = re.fullmatch(r"(\d+)m", value)
    return str(int(found[1]) / 1000) if found else value


def number(value: float) -> str:
    """Write a number as people do: ``4``, not ``4.0``."""
    return str(int(value)) if float(value).is_integer() else repr(value)


def pair(value: str) -> tuple[str, str]:
    """
    Split ``KEY=VALUE`` on the first ``=``.

    CLI v1 itself split on every one and lost the rest. What is given is never shown: it may be a
    secret.
    """
    name, equals, rest = value.partition("=")
    if not equals or not name:
        raise ValueError(
            "found no '=' with a name before it (the value is not shown); allowed: KEY=VALUE"
        )
    return name, rest


def show_pair(item: tuple[str, str]) -> str:
    """Write ``KEY=VALUE``."""
    if "=" in item[0] or not item[0]:
        raise ValueError(f"{item[0]!r} cannot stand before a '='; allowed: names without one")
    return f"{item[0]}={item[1]}"


@dataclass(frozen=True)
class Form:
    """
    A value made of comma-separated parts, ``path=/a,mount=/b,readwrite``, and the entry of the spec that it stands for.

    :param keys: key in the value: key in the entry.
    :param words: word without ``=``: what it sets in the entry.
    :param needed: keys in the value that must be there.
    :param defaults: what the entry says where the value says nothing.
    :param idle: keys that mean nothing here, with the reason, which becomes a warning.
    :param refused: keys that cannot be accepted, with the reason; their values are never shown.
    """

    keys: Mapping[str, str]
    needed: tuple[str, ...] = ()
    words: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    idle: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    def read(self, value: str, warn: Callable[[str], None]) -> dict[str, Any]:
        """Return the entry."""
        if in_address(value):
            raise ValueError(
                "an address with a password or token in it (not shown) would end in DAG files and logs; store it in "
                "Run:ai, and name that as secret"
            )
        entry, seen = dict(self.defaults), set()
        for part in filter(None, (part.strip() for part in value.split(","))):
            key, equals, text = part.partition("=")
            key = key.strip()
            seen.add(key)
            if key in self.refused:
                raise ValueError(f"{key}=… (not shown): {self.refused[key]}")
            if key in self.idle:
                warn(f"{key}=: {self.idle[key]}")
            elif equals and key in self.keys:
                entry[self.keys[key]] = text
            elif not equals and key in self.words:
                entry.update([self.words[key]])
            else:
                raise ValueError(self._unknown(key))
        missing = [key for key in self.needed if key not in seen]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing; allowed: {self.usage}")
        return entry

    def show(self, entry: Mapping[str, Any]) -> str:
        """
        Write the value that :meth:`read` turns into ``entry``; ``ValueError`` if there is none.
        """
        parts = {self._part(key, value) for key, value in entry.items()} - {""}
        unsaid = [key for key, value in self.defaults.items() if key not in entry]
        if unsaid:
            raise ValueError(
                f"{', '.join(unsaid)}: not set, and the flag always says one or the other; set it"
            )
        missing = [key for key in self.needed if self.keys[key] not in entry]
        if missing:
            raise ValueError(
                f"{', '.join(self.keys[key] for key in missing)}: missing; the flag needs {self.usage}"
            )
        order = [*self.keys, *self.words]
        return ",".join(sorted(parts, key=lambda part: order.index(part.partition("=")[0])))

    def _part(self, key: str, value: Any) -> str:
        for word, sets in self.words.items():
            if sets == (key, value):
                return word
        if self.defaults.get(key) == value:
            return ""
        names = [name for name, lands in self.keys.items() if lands == key]
        if not names:
            raise ValueError(f"{key}={value!r}: the flag has no part for it")
        if "," in str(value) or str(value).strip() != str(value):
            raise ValueError(f"{key}={value!r}: a comma or outer blank cannot stand in the flag")
        return f"{names[0]}={value}"

    def _unknown(self, key: str) -> str:
        valid = [*self.keys, *self.words, *self.idle]
        # An address with a password in it may stand where a key should.
        if not re.fullmatch(r"[\w-]{1,24}", key):
            return f"has a part without 'KEY=' (not shown); allowed: {self.usage}"
        return f"{key!r} is no part of it; {nearest(key, valid)} ({self.usage})"

    @property
    def usage(self) -> str:
        """The form as a manual page would write it."""
        return ",".join([*(f"{key}=…" for key in self.keys), *self.words])
