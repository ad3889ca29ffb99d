"""Logs of the model that can be followed."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.contract.model_trainings import Trainings
from tests.contract.pod_lines import GrowingBody
from tests.model.cluster import Cluster
from tests.model.faults import Wire
from tests.model.resources import PODS, place_of
from tests.model.transport import AwaitingTransport, BlockingTransport


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

        def tell() -> tuple[str, bool]:
            return self._trainings.log_of(pod), self._trainings.is_silent(pod)

        body = GrowingBody(tell, self._pass_time)
        return httpx.Response(200, headers=response.headers, stream=body)


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
