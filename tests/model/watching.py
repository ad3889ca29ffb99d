"""A watch: replays what is kept behind a version, then tells each change, with bookmarks, until it ends."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tests.model.clock import Clock
from tests.model.refusals import Refusal, expired
from tests.model.resources import EVENTS, Object, Resource
from tests.model.selectors import Chooser
from tests.model.store import Change, Store

BOOKMARK_SECONDS = 60.0


class Watch:
    """
    A stream of lines.

    :param lines: what the client has not read yet.
    :param is_over: no line follows.
    :param was_cut: it ended in the middle of a chunk.
    :param wake: called when there is something to see.
    """

    def __init__(
        self, store: Store, resource: Resource, chooses: Chooser, since: int, *, bookmarks: bool
    ) -> None:
        self.lines: deque[Object] = deque()
        self.is_over = self.was_cut = False
        self.wake: Callable[[], object] = lambda: None
        self._store, self._resource, self._chooses = store, resource, chooses
        self._since = since
        self._close = store.listen(self._hear)
        if since < store.oldest[resource]:
            self._refuse(expired(since, store.oldest[resource]))
            return
        for change in store.changes(resource, since):
            self._hear(change)
        if bookmarks and resource != EVENTS:
            store.clock.after(BOOKMARK_SECONDS, self._bookmark)

    def end(self, *, cut: bool = False) -> None:
        """End the stream; a second end changes nothing."""
        if not self.is_over:
            self.is_over, self.was_cut = True, cut
            self._close()
            self.wake()

    def end_after(self, clock: Clock, seconds: float) -> None:
        """End it at the time that the client asked for."""
        clock.after(seconds, self.end)

    def _refuse(self, refusal: Refusal) -> None:
        self._tell("ERROR", refusal.body)
        self.end()

    def _hear(self, change: Change) -> None:
        # From a version of the future nothing ever comes, not even a bookmark.
        if change.resource != self._resource or change.version <= self._since:
            return
        before = change.old is not None and self._chooses(change.old)
        after = change.new is not None and self._chooses(change.new)
        if after and change.new is not None:
            self._tell("MODIFIED" if before else "ADDED", change.new)
        elif before:
            self._tell("DELETED", change.new or change.old or {})

    def _bookmark(self) -> None:
        if self.is_over:
            return
        if self._since <= self._store.version:
            metadata = {"resourceVersion": str(self._store.version)}
            kind = {"kind": self._resource.kind, "apiVersion": self._resource.api_version}
            self._tell("BOOKMARK", {**kind, "metadata": metadata})
        self._store.clock.after(BOOKMARK_SECONDS, self._bookmark)

    def _tell(self, type: str, thing: Object) -> None:
        self.lines.append({"type": type, "object": thing})
        self.wake()
