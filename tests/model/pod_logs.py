"""What pods write, with the times that a node gives its lines, whole or as a stream."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from tests.model.clock import timestamp
from tests.model.kubelet import phase_of
from tests.model.resources import PODS, Object
from tests.model.store import Change, Store

_OVER = ("Succeeded", "Failed")


class LogStream:
    """
    A log that is followed.

    :param lines: what the client has not read yet.
    :param is_over: no line follows, because the container has ended, or the connection is cut.
    :param wake: called when there is something to see.
    """

    def __init__(self, store: Store, pod: Object, lines: list[str]) -> None:
        self.lines: deque[str] = deque(lines)
        self.is_over, self.was_cut = phase_of(pod) in _OVER, False
        self.wake: Callable[[], object] = lambda: None
        self._uid = pod["metadata"]["uid"]
        self._close: Callable[[], None] | None = store.listen(self._hear)

    def put(self, line: str) -> None:
        self.lines.append(line)
        self.wake()

    def end(self) -> None:
        """End it; a second end changes nothing."""
        close, self._close = self._close, None
        self.is_over = True
        if close:
            close()
            self.wake()

    def _hear(self, change: Change) -> None:
        pod = change.new or change.old
        if pod is None or change.resource != PODS or pod["metadata"]["uid"] != self._uid:
            return
        if change.new is None or phase_of(pod) in _OVER:
            self.end()


class PodLogs:
    """
    The logs of all pods; one goes with its pod.

    :ivar most: streams that were open at the same time, at most.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lines: dict[str, list[str]] = {}
        self._streams: dict[str, list[LogStream]] = {}
        self.most = 0

    def write(self, pod: Object, text: str) -> None:
        """Write a line as the container of a pod, unless that has gone."""
        metadata, now = pod["metadata"], self._store.clock.now()
        found = self._store.find(PODS, metadata["namespace"], metadata["name"])
        if found is None or phase_of(found) != "Running":
            return
        lines = self._lines.setdefault(metadata["uid"], [])
        stamp = timestamp(now).replace("Z", f".{len(lines):09d}Z")
        lines.append(f"{stamp} {text}\n")
        for stream in self._streams.get(metadata["uid"], ()):
            stream.put(lines[-1])

    def text(self, pod: Object) -> str:
        return "".join(self._lines.get(pod["metadata"]["uid"], ()))

    def follow(self, pod: Object, text: str, since: str) -> LogStream:
        """Open a stream of a text from a second on, and of what is still written."""
        uid = pod["metadata"]["uid"]
        begin = since.removesuffix("Z")
        lines = [line for line in text.splitlines(keepends=True) if line >= begin]
        stream = LogStream(self._store, pod, lines)
        open_ones = [one for one in self._streams.get(uid, ()) if not one.is_over]
        self._streams[uid] = [*open_ones, stream]
        self.most = max(self.most, self.open)
        return stream

    @property
    def open(self) -> int:
        """How many streams are open."""
        return sum(not one.is_over for some in self._streams.values() for one in some)
