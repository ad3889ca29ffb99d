"""
How a watcher looks: by a list, by what has changed since the last look, or one by one.

A list never ends a wait. What it no longer holds is read by itself, a few at a time: a list that
has shrunk for no reason costs two calls, not a thousand. And a list that fails says nothing: the
waits keep their last reading and know that it is old.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from airflow_runai.backends.control_plane import walk_workloads
from airflow_runai.backends.paging import MAX_PAGES, ListTooLong
from airflow_runai.backends.throttle import LOOK
from airflow_runai.backends.watched import Watched
from airflow_runai.backends.watched_set import (
    BREATH,
    WOKEN_AT_ONCE,
    WatchedSet,
    tell_each,
    with_breaks,
)
from airflow_runai.core.flow import Flow, Sleep
from airflow_runai.core.phases import OVER
from airflow_runai.core.workload import epoch, iso
from airflow_runai.errors import (
    NotFound,
    Refused,
    RefusedAgain,
    RunaiError,
    Unauthorized,
    Unreachable,
)

if TYPE_CHECKING:
    from airflow_runai.backends.rows import Row

#: So many single reads cost what a page of a list costs.
READS_PER_PAGE = 2
#: Seconds by which a delta goes back behind the last look: lists lag, and clocks differ.
OVERLAP = 60.0
#: So many workloads that a list lacks are read by themselves at each look. The first two are
#: samples: if they are as they were, the list is wrong, and the others can wait.
CONFIRMED_PER_LOOK, SAMPLES = 20, 2
#: In place of a project: all that the identity may see.
EVERYWHERE = ""


class _FilterIgnored(Exception):
    """A delta holds what has not changed."""


class Looks:
    """
    The ways to look, and what is known of their cost.

    :ivar has_answered: whether the control plane has answered since :meth:`begin`.
    :ivar error: why a wait got no answer since then, if one did not.
    """

    def __init__(self, waits: WatchedSet) -> None:
        self.has_answered = False
        self.error: RunaiError | None = None
        self._waits = waits
        # Looks, the last one in which the identity was refused, and how many in a row it was.
        self._number = self._refused_at = self._refusals = 0
        self._takes_delta, self._tells_when = True, False
        # How many pages the list of a project had.
        self._pages: dict[str, int] = {}

    @property
    def can_delta(self) -> bool:
        """Whether a delta is possible, and cheaper than reading one by one."""
        return self._takes_delta and self._tells_when and len(self._waits) > READS_PER_PAGE

    def begin(self) -> None:
        """Begin a look at all waits."""
        self._number += 1
        self.has_answered, self.error = False, None

    def full(self, *, measure: bool) -> Flow[None]:
        """
        Look at every wait.

        :param measure: read the lists even where single reads were cheaper the last time.
        """
        projects = self._waits.by_project()
        is_cheap = self._is_everywhere_cheap(len(projects))
        if is_cheap and (yield from self._everywhere(len(projects))):
            return
        for project, waits in projects.items():
            pages = self._pages.get(project, 1)
            is_small = len(waits) <= READS_PER_PAGE * (1 if measure else pages)
            if is_small or project == EVERYWHERE:
                yield from self.one_by_one(waits)
            else:
                yield from self._list(project, waits)
            if self.error and not self.has_answered:
                # Fifty projects would wait for fifty time-outs.
                yield from self.fail(self._unseen(self._waits), self.error)
                return

    def _is_everywhere_cheap(self, projects: int) -> bool:
        is_large = projects > 1 and len(self._waits) > READS_PER_PAGE
        return is_large and self._pages.get(EVERYWHERE, 0) < projects

    def _everywhere(self, projects: int) -> Flow[bool]:
        """List across projects; return whether that took no more pages than there are projects."""
        try:
            self._pages[EVERYWHERE] = yield from self._walk([], projects)
        except (Unreachable, Unauthorized) as error:
            if isinstance(error, ListTooLong):
                self._pages[EVERYWHERE] = projects
                return False
            yield from self.fail(self._waits, error)
        except Refused:
            self._pages[EVERYWHERE] = MAX_PAGES
            return False
        else:
            yield from self._confirm(self._unseen(self._waits))
        return True

    def _list(self, project: str, waits: Sequence[Watched]) -> Flow[None]:
        try:
            self._pages[project] = yield from self._walk([f"projectId=={project}"], MAX_PAGES)
        except (Unreachable, Unauthorized) as error:
            yield from self.fail(self._unseen(waits), error)
        except Refused:
            # Whoever may not list may still read.
            yield from self.one_by_one(self._longest_unconfirmed(waits))
        else:
            yield from self._confirm(self._unseen(waits))

    def _walk(self, scope: Sequence[str], max_pages: int) -> Flow[int]:
        conditions = ",".join([*scope, "phase!=Completed", "phase!=Failed"])
        pages = yield from walk_workloads(conditions, self._take, max_pages)
        self._answered()
        return pages

    def _take(self, rows: Sequence[Row]) -> Flow[None]:
        """Tell the waits what a page says."""
        if len(rows) > WOKEN_AT_ONCE:  # to decode them took a while
            yield Sleep(BREATH)
        yield from with_breaks(self._news(rows))

    def _news(self, rows: Sequence[Row]) -> Iterator[bool]:
        """Show each row to its waits; rows that nobody waits for go no further."""
        for row in rows:
            waits = self._waits.of(row.id)
            if not waits:
                continue
            self._tells_when = row.phaseUpdatedAt is not None
            for wait in tuple(waits):
                wait.looked = self._number
                yield wait.see(row)

    def _unseen(self, waits: Iterable[Watched]) -> list[Watched]:
        return [wait for wait in waits if wait.looked != self._number and wait in self._waits]

    def delta(self, since: float) -> Flow[bool]:
        """
        Look at what has changed since a moment, whatever the project.

        :return: whether the server knows such a filter; nothing was looked at if not.
        """
        begin = since - OVERLAP

        def take(rows: Sequence[Row]) -> Flow[None]:
            if any((epoch(row.phaseUpdatedAt) or 0.0) < begin - 1.0 for row in rows):
                raise _FilterIgnored
            yield from self._take(rows)

        try:
            yield from walk_workloads(f"phaseUpdatedAt>={iso(begin)}", take, MAX_PAGES)
        except (Unreachable, Unauthorized) as error:
            yield from self.fail(self._waits, error)
            return True
        except (Refused, _FilterIgnored):
            self._takes_delta = False
            return False
        self._answered()
        yield from tell_each(list(self._waits), Watched.recover)
        return True

    def one_by_one(self, waits: Iterable[Watched]) -> Flow[None]:
        """Read each workload by itself, until two in a row have no answer."""
        failed, waits = 0, [wait for wait in waits if wait in self._waits]
        for place, wait in enumerate(waits):
            try:
                yield from self._read(wait)
                failed = 0
            except (Unreachable, Refused) as error:
                failed += 1
                is_general = failed > 1 or isinstance(error, Unauthorized)
                yield from self.fail(waits[place:] if is_general else [wait], error)
                if is_general:
                    return

    def _read(self, wait: Watched) -> Flow[bool]:
        """Read a workload by itself; return whether it goes on as before."""
        wait.looked = wait.confirmed = self._number
        try:
            reading = yield from wait.look(LOOK)
        except NotFound:
            self._answered()
            wait.doubt()
            return False
        self._answered()
        return reading.meaning not in OVER

    def _confirm(self, missing: Sequence[Watched]) -> Flow[None]:
        """Find out what has become of workloads that a good list does not hold."""
        is_right = False
        yield from tell_each(missing, Watched.recover)
        # What is absent already is looked for by its own wait.
        lost = self._longest_unconfirmed(wait for wait in missing if not wait.is_absent)
        for place, wait in enumerate(lost):
            if place >= SAMPLES:
                if not is_right:
                    return
                wait.confirmed = self._number
                wait.doubt()
                continue
            try:
                is_right |= not (yield from self._read(wait))
            except (Unreachable, Refused):
                continue  # the next look will tell

    def _longest_unconfirmed(self, waits: Iterable[Watched]) -> list[Watched]:
        return sorted(waits, key=lambda wait: wait.confirmed)[:CONFIRMED_PER_LOOK]

    def fail(self, waits: Iterable[Watched], error: RunaiError) -> Flow[None]:
        """Tell waits that there is no answer."""
        if isinstance(error, Unauthorized):
            self._refusals += self._refused_at != self._number
            self._refused_at = self._number
            if self._refusals > 1:
                error = RefusedAgain(str(error))
        self.error = error
        yield from tell_each(list(waits), lambda wait: wait.fail(error))

    def _answered(self) -> None:
        self.has_answered = True
        self._refusals = 0
