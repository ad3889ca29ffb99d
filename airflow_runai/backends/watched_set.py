"""The waits that one watcher serves, found by workload, by project, and by haste."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from airflow_runai.backends.watched import Watched
from airflow_runai.core.flow import Flow, Sleep

#: The waits that are woken before the event loop may breathe, and for how long, seconds.
WOKEN_AT_ONCE, BREATH = 50, 0.001


class WatchedSet:
    """All registered waits; several may wait for one workload."""

    def __init__(self) -> None:
        self._by_id: dict[str, list[Watched]] = {}
        self._intervals: Counter[float] = Counter()

    def add(self, wait: Watched) -> None:
        """Register a wait."""
        self._by_id.setdefault(wait.id, []).append(wait)
        self._intervals[wait.interval] += 1

    def discard(self, wait: Watched) -> None:
        """Forget a wait."""
        self._by_id[wait.id].remove(wait)
        if not self._by_id[wait.id]:
            del self._by_id[wait.id]
        self._intervals[wait.interval] -= 1
        if not self._intervals[wait.interval]:
            del self._intervals[wait.interval]

    def __iter__(self) -> Iterator[Watched]:
        return (wait for waits in self._by_id.values() for wait in waits)

    def __len__(self) -> int:
        return sum(self._intervals.values())

    def __contains__(self, wait: object) -> bool:
        return isinstance(wait, Watched) and wait in self._by_id.get(wait.id, ())

    def of(self, workload_id: object) -> Sequence[Watched]:
        """Return the waits for a workload; none for what is no id."""
        return self._by_id.get(workload_id, ()) if isinstance(workload_id, str) else ()

    @property
    def interval(self) -> float:
        """The shortest interval that a registered wait asks for; infinite without one."""
        return min(self._intervals, default=float("inf"))

    def by_project(self) -> dict[str, list[Watched]]:
        """Return the waits of each project."""
        projects: dict[str, list[Watched]] = {}
        for wait in self:
            projects.setdefault(wait.start.project_id, []).append(wait)
        return projects


def tell_each(waits: Iterable[Watched], tell: Callable[[Watched], bool]) -> Flow[None]:
    """Tell many waits."""
    yield from with_breaks(map(tell, waits))


def with_breaks(news: Iterable[bool]) -> Flow[None]:
    """
    Tell waits one by one: thousands that wake at once would hold up everything else on the loop.

    :param news: whether each wait has been woken; the next one is told when its turn comes.
    """
    woken = 0
    for is_news in news:
        woken += is_news
        if woken >= WOKEN_AT_ONCE:
            woken = 0
            yield Sleep(BREATH)
