"""
What becomes of an event before it reaches the API: client-go's rules (v0.34, ``tools/record/events_cache.go``). Pure.

1. More than nine different messages of one reason on one object within ten minutes are merged into
  one event.
2. The same event again raises the count of the first one.
3. An object has a budget: 25 events for each component and type, and one more in five minutes. What
  is over it is lost, but it is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

__all__ = ["Correlator", "Happening", "Written"]

MERGED = "(combined from similar events): "
DIFFERENT_MESSAGES = 10
SIMILAR_SECONDS = 600.0
BURST = 25
REFILL_SECONDS = 300.0

Annotations = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Happening:
    """
    Something to tell about an object.

    :param on: kind, namespace, name and uid of the object.
    :param type: ``Normal`` or ``Warning``.
    """

    on: tuple[str, str, str, str]
    type: str
    reason: str
    message: str
    annotations: Annotations = ()

    @classmethod
    def of(
        cls,
        on: tuple[str, str, str, str],
        type: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str] | None = None,
    ) -> Happening:
        """Make one with annotations from a mapping."""
        return cls(on, type, reason, message, tuple((annotations or {}).items()))


@dataclass
class Written:
    """
    One event object, as it should stand in the API.

    :param name: of the object in the API, once it is there.
    :param first: when it happened first, in seconds since 1970.
    """

    happening: Happening
    first: float
    last: float
    count: int = 1
    name: str = ""


@dataclass
class _Similar:
    last: float
    messages: set[str] = field(default_factory=set)


class Correlator:
    """The memory of one component of KAI; a restart of the component forgets it."""

    def __init__(self) -> None:
        self._similar: dict[Happening, _Similar] = {}
        self._written: dict[Happening, Written] = {}
        self._budgets: dict[tuple[tuple[str, str, str, str], str], tuple[float, float]] = {}

    def admit(self, happening: Happening, now: float) -> Written | None:
        """
        Tell what to write.

        :return: the event; with a count of 1 it is new, else it stands already. None if the budget
            is spent.
        """
        happening, same = self._merge(happening, now)
        written = self._written.get(same)
        if written is None:
            written = self._written[same] = Written(happening, now, now)
        else:
            written.happening, written.last, written.count = happening, now, written.count + 1
        return written if self._may(happening, now) else None

    def _merge(self, happening: Happening, now: float) -> tuple[Happening, Happening]:
        """Give the event, and what identifies it: itself, or the kind that it is merged into."""
        kind = replace(happening, message="", annotations=())
        similar = self._similar.setdefault(kind, _Similar(now))
        if now - similar.last > SIMILAR_SECONDS:
            similar.messages.clear()
        similar.messages.add(happening.message)
        similar.last = now
        if len(similar.messages) < DIFFERENT_MESSAGES:
            return happening, replace(happening, annotations=())
        similar.messages.pop()
        return replace(kind, message=MERGED + happening.message), kind

    def _may(self, happening: Happening, now: float) -> bool:
        tokens, filled = self._budgets.get((happening.on, happening.type), (float(BURST), now))
        tokens = min(float(BURST), tokens + (now - filled) / REFILL_SECONDS)
        allowed = tokens >= 1
        self._budgets[happening.on, happening.type] = (tokens - allowed, now)
        return allowed
