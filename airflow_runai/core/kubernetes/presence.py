"""
Whether an object is still there: streams tell by versions, direct looks by time.

A watch with a selector says DELETED, too, when an object loses its label, and a list then lacks it.
Only a direct look tells these apart.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from airflow_runai.core.kubernetes.facts import Greatest, NewestVersion


@dataclass(frozen=True, slots=True)
class Presence:
    """
    When an object was there, and when it was not. Times are ours, in epoch seconds.

    :param seen: newest version at which it was there.
    :param seen_at: when it was last seen, by any way.
    :param left: newest version at which a stream lacked it.
    :param left_at: when the stream said so.
    :param found_at: when a direct look last found it.
    :param missed_at: when a direct look last did not.
    """

    seen: NewestVersion = 0
    seen_at: Greatest = 0.0
    left: NewestVersion = 0
    left_at: Greatest = 0.0
    found_at: Greatest = 0.0
    missed_at: Greatest = 0.0

    @property
    def is_gone(self) -> bool:
        """Whether it is not there any more, by what is known."""
        if self.missed_at > self.seen_at:
            return True
        return self.left > self.seen and self.left_at >= self.found_at

    @property
    def is_proven(self) -> bool:
        """Whether a direct look was the last to say whether it is there."""
        return max(self.found_at, self.missed_at) >= self.left_at

    def lacking(self, version: int, at: float) -> Presence:
        """Return the same for what a list of this version does not have."""
        if version <= self.seen:
            return self
        return replace(self, left=max(self.left, version), left_at=max(self.left_at, at))
