"""Logs of the model that are followed: a stream says what comes while the model's time passes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator

import httpx

from tests.contract.model_trainings import Trainings
from tests.model.cluster import Cluster
from tests.model.faults import Wire
from tests.model.resources import PODS, Object, place_of
from tests.model.transport import AwaitingTransport, BlockingTransport

#: Seconds of the model's time between two looks for more.
BREATH = 0.5


class LogStreams:
    """
    The streams of one model.

    :param pass_time: lets so many seconds pass.
    """

    def __init__(
        self, cluster: Cluster, trainings: Trainings, pass_time: Callable[[float], object]
    ) -> None:
        self._store, self._trainings, self._pass_time = cluster.store, trainings, pass_time

    def opened(self, request: httpx.Request, response: httpx.Response) -> httpx.Response:
        """Return a response as it is, or as a stream if it is a log that is followed."""
        place = place_of(request.url.path)
        follows = request.url.params.get("follow") == "true" and response.status_code == 200
        if place is None or place.part != "log" or not follows:
            return response
        pod = self._store.get(PODS, place.namespace, place.name)
        return httpx.Response(200, headers=response.headers, stream=_Lines(self._pieces(pod)))

    def _pieces(self, pod: Object) -> Iterator[bytes | Callable[[], object]]:
        """Yield what was said, and how to come to hear more."""
        sent = 0
        while True:
            is_over = self._trainings.is_silent(pod)
            text = self._trainings.log_of(pod).encode()
            yield text[sent:]
            sent = len(text)
            if is_over:
                return
            yield lambda: self._pass_time(BREATH)


class _Lines(httpx.SyncByteStream, httpx.AsyncByteStream):
    def __init__(self, pieces: Iterator[bytes | Callable[[], object]]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                piece()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self._pieces:
            if isinstance(piece, bytes):
                yield piece
            else:
                await asyncio.to_thread(piece)


class BlockingWithLogs(BlockingTransport):
    """A transport with such streams."""

    def __init__(self, wire: Wire, streams: LogStreams) -> None:
        super().__init__(wire)
        self._streams = streams

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        return self._streams.opened(request, super().handle_request(request))


class AwaitingWithLogs(AwaitingTransport):
    """The same on a loop."""

    def __init__(self, wire: Wire, streams: LogStreams) -> None:
        super().__init__(wire)
        self._streams = streams

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Answer a request."""
        return self._streams.opened(request, await super().handle_async_request(request))
