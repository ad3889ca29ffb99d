"""Uids of objects, found by what they belong to."""

from __future__ import annotations

from typing import TypeVar

_Key = TypeVar("_Key")


class UidIndex(dict[_Key, tuple[str, ...]]):
    """
    Uids by a key: nearly always one.

    So they are tuples. A set takes 200 bytes, and thousands of trainings are known.
    """

    def of(self, key: _Key) -> tuple[str, ...]:
        """Return the uids that were noted."""
        return self.get(key, ())

    def note(self, key: _Key, uid: str) -> None:
        """Take note of a uid, once."""
        if uid not in self.of(key):
            self[key] = (*self.of(key), uid)

    def discard(self, key: _Key, uid: str) -> None:
        """Forget one uid."""
        others = tuple(one for one in self.pop(key, ()) if one != uid)
        if others:
            self[key] = others
