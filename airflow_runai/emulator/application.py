"""
The HTTP side: routes, tokens, faults, and the record of requests.

Endpoints are plain functions of the control plane and a call; HTTP is handled only here.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from email.utils import formatdate
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from airflow_runai.emulator import (
    routes_cluster,
    routes_control,
    routes_limits,
    routes_organization,
    routes_page,
    routes_tokens,
)
from airflow_runai.emulator import routes_watch as watch
from airflow_runai.emulator import routes_workloads as workloads
from airflow_runai.emulator.colours import coloured
from airflow_runai.emulator.connections import cut
from airflow_runai.emulator.control_plane import ControlPlane, RecordedRequest
from airflow_runai.emulator.faults import Fault
from airflow_runai.emulator.hosts import HostCheckMiddleware, needs_host_check
from airflow_runai.emulator.page import PATHS, page
from airflow_runai.emulator.replies import ApiCall, ApiError, ApiReply

Endpoint = Callable[[ControlPlane, ApiCall], ApiReply]
#: The faults of one call by kind.
Faults = dict[str, Fault]

_V1 = "/api/v1"
_OF_A_WORKLOAD = "/cluster-api/api/v1/{project}/workloads/{type}/{framework}/{name}"
_ROUTES: list[tuple[str, str, Endpoint]] = [
    ("POST", f"{_V1}/token", routes_tokens.token_v1),
    ("POST", "/api/v2/token", routes_tokens.token_v2),
    ("GET", f"{_V1}/clusters", routes_organization.clusters),
    ("GET", f"{_V1}/org-unit/projects", routes_organization.projects),
    ("GET", f"{_V1}/org-unit/projects/{{id}}", routes_organization.project),
    ("GET", f"{_V1}/org-unit/departments", routes_organization.departments),
    ("GET", f"{_V1}/node-pools", routes_organization.node_pools),
    ("GET", f"{_V1}/nodes/telemetry", routes_limits.nodes_telemetry),
    ("GET", f"{_V1}/workload-types", routes_organization.workload_types),
    ("GET", f"{_V1}/workload-priorities", routes_organization.workload_priorities),
    ("GET", f"{_V1}/workloads", watch.workloads),
    ("GET", f"{_V1}/workloads/count", watch.count),
    ("GET", f"{_V1}/workloads/pods", watch.pods),
    ("POST", f"{_V1}/workloads/batch", workloads.batch),
    ("GET", f"{_V1}/workloads/{{id}}", watch.workload),
    ("GET", f"{_V1}/workloads/{{id}}/history", watch.history),
    ("GET", f"{_V1}/workloads/{{id}}/events", watch.events),
    ("GET", f"{_V1}/workloads/{{id}}/pods", watch.workload_pods),
    ("GET", f"{_V1}/workloads/{{id}}/metrics", watch.metrics),
    ("GET", "/cluster-api/status", routes_cluster.status),
    ("GET", f"{_OF_A_WORKLOAD}/logs/download", routes_cluster.download),
    ("POST", "/_emulator/faults", routes_control.add_fault),
    ("GET", "/_emulator/faults", routes_control.faults),
    ("DELETE", "/_emulator/faults", routes_control.clear_faults),
    ("POST", "/_emulator/clock", routes_control.move_clock),
    ("GET", "/_emulator/workloads/{name}/logs", routes_control.logs),
    ("POST", "/_emulator/workloads/{name}/preempt", routes_control.preempt),
    ("GET", "/_emulator/requests", routes_control.requests),
    ("GET", "/_emulator/overview", routes_page.overview),
    ("GET", "/_emulator/workloads/{name}/story", routes_page.story),
]
_KINDS = ("trainings", "distributed")
#: Faults without details, which endpoints know.
_SWITCHES = frozenset({"stuck_resuming", "show_deleted"})
_KIND_ROUTES: list[tuple[str, str, Endpoint]] = [
    ("POST", "", workloads.create),
    ("GET", "/{id}", workloads.read),
    ("DELETE", "/{id}", workloads.delete),
    ("POST", "/{id}/suspend", workloads.suspend),
    ("POST", "/{id}/resume", workloads.resume),
]


def application(plane: ControlPlane) -> Starlette:
    """Build the ASGI application of a control plane."""
    # Paths with a fixed kind come first: Starlette takes the first route that fits.
    routes = [route for kind in _KINDS for route in _kind_routes(plane, kind)]
    routes += [_route(plane, *entry) for entry in _ROUTES]
    routes += [Route(path, page, methods=["GET"]) for path in PATHS]
    guard = [Middleware(HostCheckMiddleware)] if needs_host_check(plane.settings) else []
    handlers = {404: _not_found, 405: _not_found}
    return Starlette(routes=routes, middleware=guard, exception_handlers=handlers)


def _kind_routes(plane: ControlPlane, kind: str) -> list[Route]:
    table = [
        (method, f"{_V1}/workloads/{kind}{path}", endpoint)
        for method, path, endpoint in _KIND_ROUTES
    ]
    table.append(("GET", f"/api/v2/policy/{kind}", routes_limits.policy))
    return [_route(plane, *entry, kind=kind) for entry in table]


def _route(plane: ControlPlane, method: str, path: str, endpoint: Endpoint, **params: str) -> Route:
    return Route(path, _Handler(plane, endpoint, params).answer, methods=[method])


async def _not_found(request: Request, error: Exception) -> Response:
    # Starlette's own answer is plain text; the vendor's errors are objects.
    status = getattr(error, "status_code", 404)
    content = {
        "code": status,
        "message": "not found",
        "details": request.url.path,
    }
    return _json(ApiReply(content, status))


class _Handler:
    """
    Answers the calls of one route.

    :param params: path parameters that the route itself fixes.
    """

    def __init__(self, plane: ControlPlane, endpoint: Endpoint, params: dict[str, str]) -> None:
        self._plane = plane
        self._endpoint = endpoint
        self._params = params
        self._needs_token = endpoint not in (routes_tokens.token_v1, routes_tokens.token_v2)

    async def answer(self, request: Request) -> Response:
        """Answer one request, or let a planned fault spoil it."""
        path = request.url.path
        method = request.method
        # Faults are for the client under test, not for whoever plans them.
        own = path.startswith("/_emulator")
        taken = [] if own else self._plane.faults.take(method, path)
        faults = {fault.kind: fault for fault in taken}
        response = await self._spoiled(request, faults)
        skew = next((fault.seconds for fault in taken if fault.kind == "skew"), 0.0)
        response.headers["Date"] = formatdate(self._plane.clock.now() + skew, usegmt=True)
        # A client that never got an answer has seen no status.
        status = 0 if isinstance(response, _NoAnswer) else response.status_code
        self._record(request, status)
        return response

    async def _spoiled(self, request: Request, faults: Faults) -> Response:
        if "slow" in faults:
            await request.body()  # a request that has arrived is carried out, even without a client
            await self._plane.faults.pause(faults["slow"])
        # These faults spoil the call before anything happens.
        if "reset" in faults:
            return _NoAnswer(reset=True)
        for kind in ("status", "html"):
            if kind in faults:
                return _refusal(faults[kind])
        if "deliver_late" in faults:
            with contextlib.suppress(ApiError):  # a request that cannot be read never arrives
                await self._deliver_late(request, faults["deliver_late"].seconds)
            return _NoAnswer(reset=False)
        # From here on the call has its effect, whatever becomes of the answer.
        reply = await self._reply(request, faults)
        if "lose_reply" in faults:
            await self._plane.faults.pause(faults["lose_reply"])
            return _NoAnswer(reset=False)
        return _json(ApiReply(coloured(reply.payload, faults), reply.status))

    async def _reply(self, request: Request, faults: Faults) -> ApiReply:
        try:
            return self._carry_out(await self._read(request), faults)
        except ApiError as error:
            return ApiReply(error.body, error.status)

    async def _deliver_late(self, request: Request, seconds: float) -> None:
        call = await self._read(request)

        def deliver() -> None:
            try:
                status = self._carry_out(call, {}).status
            except ApiError as error:
                status = error.status
            self._record(request, status)

        self._plane.later(seconds, deliver)

    async def _read(self, request: Request) -> ApiCall:
        authorization = request.headers.get("authorization")
        if self._needs_token and not self._plane.tokens.accepts(authorization):
            raise ApiError(401, "Unauthorized", "the token is missing or not valid")
        return ApiCall(
            method=request.method,
            path=request.url.path,
            params={
                **request.path_params,
                **self._params,
            },
            query=dict(request.query_params),
            body=await _body(request),
            address=f"{request.url.scheme}://{request.url.netloc}",
        )

    def _carry_out(self, call: ApiCall, faults: Faults) -> ApiReply:
        params = dict(call.params)
        if "stale_list" in faults:
            params["staleness"] = str(faults["stale_list"].seconds)
        if "hide" in faults:
            params["hidden"] = faults["hide"].name
        if "from_before_3_0" in faults:
            params["deaf"] = faults["from_before_3_0"].name
        for kind in _SWITCHES & faults.keys():
            params[kind] = "true"
        call = replace(call, params=params)
        # One call at a time, and no step of the engine in between.
        with self._plane.lock:
            self._let_time_pass(call)
            self._hide(call, faults)
            return self._endpoint(self._plane, call)

    def _let_time_pass(self, call: ApiCall) -> None:
        seconds = self._plane.settings.seconds_per_read
        if seconds and call.method == "GET" and call.path.startswith(f"{_V1}/workloads"):
            self._plane.advance(seconds)

    def _hide(self, call: ApiCall, faults: Faults) -> None:
        """Answer 404 for a workload that a fault hides, for a while or for good."""
        workload = self._plane.world.workloads.get(call.params.get("id", ""))
        if workload is None:
            return
        age = self._plane.clock.now() - workload.created_at
        too_new = "hide_new" in faults and age < faults["hide_new"].seconds
        hidden = "hide" in faults and fnmatchcase(workload.name, faults["hide"].name)
        if too_new or hidden:
            raise ApiError(404, f"workload {workload.id} not found")

    def _record(self, request: Request, status: int) -> None:
        url = request.url
        self._plane.requests.append(RecordedRequest(request.method, url.path, url.query, status))


class _NoAnswer(Response):
    """No answer at all: the connection is closed or reset."""

    def __init__(self, reset: bool) -> None:
        super().__init__()
        self._reset = reset

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        cut(scope["client"], scope["server"], self._reset)
        # The server complains of a missing answer unless the client has gone by then.
        while (await receive())["type"] != "http.disconnect":
            pass


async def _body(request: Request) -> Any:
    content = await request.body()
    # No body is not an empty object: some endpoints tell them apart.
    if not content:
        return None
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return dict(parse_qsl(content.decode("utf-8", "replace")))
    try:
        return json.loads(content)
    except ValueError as error:
        raise ApiError(400, "request body is not JSON", str(error)) from error


def _json(reply: ApiReply) -> Response:
    # A 204 must not have a body.
    if reply.payload is None:
        return Response(status_code=reply.status)
    if isinstance(reply.payload, bytes):
        return PlainTextResponse(reply.payload, reply.status)
    content = json.dumps(reply.payload).encode()
    return Response(content, reply.status, media_type="application/json")


def _refusal(fault: Fault) -> Response:
    if fault.kind == "html":
        status = 502 if fault.status == 503 else fault.status
        return HTMLResponse(f"<html><body><h1>{status} Bad Gateway</h1></body></html>", status)
    content = {
        "code": fault.status,
        "message": "planned fault",
        "details": "",
    }
    response = _json(ApiReply(content, fault.status))
    if fault.retry_after is not None:
        response.headers["Retry-After"] = f"{fault.retry_after:g}"
    return response
