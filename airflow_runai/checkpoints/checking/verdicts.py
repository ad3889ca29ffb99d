"""The seven things that can be said about a checkpoint, and which of two decides."""

from __future__ import annotations

from enum import Enum

__all__ = ["Verdict", "worst"]


class Verdict(str, Enum):
    """The seven things that can be said about a checkpoint."""

    VALID = "valid"
    """Nothing wrong was found at this level, and the bytes prove themselves."""
    UNVERIFIABLE = "unverifiable"
    """Nothing wrong was found, but nothing in the format can prove the bytes either."""
    IN_PROGRESS = "in_progress"
    """Somebody is still writing it."""
    INVALID = "invalid"
    """Torn, missing or inconsistent."""
    POISONED = "poisoned"
    """The bytes are intact, the content is bad (not-a-number weights)."""
    UNSAFE = "unsafe"
    """Loading it could run a command or exhaust the machine."""
    UNKNOWN = "unknown"
    """
    It could not be read now, or nobody here can read it: :attr:`Report.transient` tells which.
    """

    def __str__(self) -> str:
        return self.value


# Worst first: a definite fact beats "could not be read", which beats "cannot be proven".
_PRECEDENCE = (
    Verdict.UNSAFE,
    Verdict.IN_PROGRESS,
    Verdict.INVALID,
    Verdict.POISONED,
    Verdict.UNKNOWN,
    Verdict.UNVERIFIABLE,
    Verdict.VALID,
)


def worst(first: Verdict, second: Verdict) -> Verdict:
    """Of two verdicts, the one that decides."""
    return min(first, second, key=_PRECEDENCE.index)
