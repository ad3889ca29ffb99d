"""Values made of comma-separated parts, such as ``path=/a,mount=/b,readwrite``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.secrets import in_address
from airflow_runai.core.values import nearest


@dataclass(frozen=True)
class Form:
    """
    A kind of value, and the entry of the specification that it stands for.

    :param keys: key in the value → key in the entry.
    :param required: keys that the value must have.
    :param switches: word without ``=`` → (key, value) that it sets in the entry.
    :param defaults: what the entry says where the value says nothing.
    :param ignored: keys without a meaning here, with the reason, which becomes a warning.
    :param refused: keys that cannot be accepted, with the reason; their values are never shown.
    """

    keys: Mapping[str, str]
    required: tuple[str, ...] = ()
    switches: Mapping[str, tuple[str, Any]] = field(default_factory=dict)
    defaults: JsonMapping = field(default_factory=dict)
    ignored: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)

    @property
    def usage(self) -> str:
        """The form as a manual page would write it."""
        return ",".join([*(f"{key}=…" for key in self.keys), *self.switches])

    def read(self, value: str, warn: Callable[[str], None]) -> JsonObject:
        """Return the entry."""
        if in_address(value):
            raise ValueError(
                "an address with a password or token in it (not shown) would end in DAG files and "
                "logs; store it in Run:ai, and name that as secret"
            )
        entry = dict(self.defaults)
        missing = dict.fromkeys(self.required)
        for part in filter(None, map(str.strip, value.split(","))):
            name, equals, text = part.partition("=")
            key = name.strip()
            missing.pop(key, None)
            entry |= self._read_part(key, text if equals else None, warn)
        if missing:
            raise ValueError(f"{', '.join(missing)} missing; allowed: {self.usage}")
        return entry

    def _read_part(self, key: str, text: str | None, warn: Callable[[str], None]) -> JsonObject:
        """Return what one part sets; ``text`` is what follows its ``=``."""
        # First, because its value must reach no other message.
        if key in self.refused:
            raise ValueError(f"{key}=… (not shown): {self.refused[key]}")
        if key in self.ignored:
            warn(f"{key}=: {self.ignored[key]}")
            return {}
        if text is not None and key in self.keys:
            return {self.keys[key]: text}
        if text is None and key in self.switches:
            return dict([self.switches[key]])
        raise ValueError(self._unknown(key))

    def _unknown(self, key: str) -> str:
        # An address with a password in it may stand where a key should.
        if not re.fullmatch(r"[\w-]{1,24}", key):
            return f"has a part without 'KEY=' (not shown); allowed: {self.usage}"
        hint = nearest(key, [*self.keys, *self.switches, *self.ignored])
        return f"{key!r} is not a part of it; {hint} ({self.usage})"

    def show(self, entry: JsonMapping) -> str:
        """Write the value that :meth:`read` turns into ``entry``; ``ValueError`` if none does."""
        parts = {self._show_part(key, value) for key, value in entry.items()} - {""}
        undecided = ", ".join(key for key in self.defaults if key not in entry)
        if undecided:
            raise ValueError(
                f"{undecided}: not set, and the flag always says one or the other; set it"
            )
        required = [self.keys[key] for key in self.required]
        missing = ", ".join(key for key in required if key not in entry)
        if missing:
            raise ValueError(f"{missing}: missing; the flag needs {self.usage}")
        order = [*self.keys, *self.switches]
        return ",".join(sorted(parts, key=lambda part: order.index(part.partition("=")[0])))

    def _show_part(self, key: str, value: Any) -> str:
        for word, setting in self.switches.items():
            if setting == (key, value):
                return word
        if self.defaults.get(key) == value:
            return ""
        for name, target in self.keys.items():
            if target == key:
                return _attached(name, key, value)
        raise ValueError(f"{key}={value!r}: the flag has no part for it")


def _attached(name: str, key: str, value: Any) -> str:
    text = str(value)
    # The command line has no way to quote either within a part.
    if "," in text or text.strip() != text:
        raise ValueError(f"{key}={value!r}: a comma or outer blank cannot stand in the flag")
    return f"{name}={text}"
