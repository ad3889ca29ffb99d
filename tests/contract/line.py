"""The line to a real API server, with what may go wrong on it."""

from __future__ import annotations

import httpx

from tests.model.faults import Fault, newer


class FaultyLine(httpx.BaseTransport):
    """
    Sends requests over another client, but for the faults that are ordered.

    :param client: leads to the server, with credentials.
    :ivar spoken: what was asked, and the status of each answer.
    """

    def __init__(self, client: httpx.Client) -> None:
        self._client = client
        self.faults: list[Fault] = []
        self.is_newer = False
        self.spoken: list[str] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request, or let it fail as ordered."""
        faults = [] if request.url.path.endswith("/token") else self.faults  # logins are no case
        fault = next((one for one in faults if one.method in ("", request.method)), None)
        if fault is not None:
            fault.times -= 1
            if fault.times <= 0:
                self.faults.remove(fault)
        if fault is None or fault.is_late:
            answer = self._carry(request)
        response = fault.happens(request) if fault else answer
        path = request.url.raw_path.decode()
        self.spoken.append(f"{request.method} {path} {response.status_code}")
        return response

    def _carry(self, request: httpx.Request) -> httpx.Response:
        answer = self._client.send(request)
        headers = {
            name: answer.headers[name]
            for name in ("content-type", "date", "retry-after", "warning")
            if name in answer.headers
        }
        if self.is_newer and "json" in headers.get("content-type", ""):
            headers.pop("content-length", None)
            return httpx.Response(answer.status_code, headers=headers, json=newer(answer.json()))
        return httpx.Response(answer.status_code, headers=headers, content=answer.content)
