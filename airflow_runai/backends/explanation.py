"""
Why a workload waits, does not start or has failed: read once, told by ``core/reasons``.

Nothing depends on the answer. So it never raises, goes last where requests queue, and reads one
page of each list: what cannot be read is left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from airflow_runai.backends import capacity
from airflow_runai.backends.replies import accept
from airflow_runai.backends.throttle import HISTORY
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.phases import FINAL, meaning
from airflow_runai.core.quota import gpus_of_item, over_cluster
from airflow_runai.core.reasons import Evidence, Reason, needs_reason, reasons
from airflow_runai.errors import Refused, RunaiError, Unreachable, Unreadable

#: Rows of a page, and bytes of an answer. Decoding a larger one would hold up an event loop.
PAGE, MAX_BYTES = 100, 2**20


def explain(workload_id: str, phase: str, since: float = 0.0) -> Flow[tuple[Reason, ...]]:
    """
    Return the reasons, the most helpful first; none if nothing is known.

    :param phase: as last seen; the server's present one counts, if it can be read.
    :param since: epoch seconds; what was said before explains nothing (see
        :func:`core.reasons.chapter_start`).
    """
    evidence = yield from _evidence(workload_id, phase, since)
    return reasons(evidence) if needs_reason(evidence.phase) else ()


def _evidence(workload_id: str, phase: str, since: float) -> Flow[Evidence]:
    path = f"/api/v1/workloads/{quote(workload_id, safe='')}"
    item: Any = None
    events: list[Any] = []
    pods: list[Any] = []
    try:
        item = yield from _part(path)
        phase = _phase(item) or phase
        if needs_reason(phase):
            item = yield from _with_room(item, phase)
            events = yield from _rows(f"{path}/events", "events", ("sortOrder", "desc"))
            pods = yield from _pods(path, phase)
    except Unreachable:
        pass  # the rest would not come either, and each try may take as long as a time-out
    return Evidence.gather(phase, item, events, pods, since)


def _phase(item: Any) -> str:
    phase = item.get("phase") if isinstance(item, Mapping) else None
    return phase if isinstance(phase, str) else ""


def _pods(path: str, phase: str) -> Flow[list[Any]]:
    """Read its pods; of one that has ended those that were deleted, too."""
    pods = yield from _rows(f"{path}/pods", "pods")
    if meaning(phase) in FINAL:
        pods += yield from _rows(f"{path}/pods", "pods", ("deleted", "true"))
    return pods


def _rows(path: str, key: str, *params: tuple[str, str]) -> Flow[list[Any]]:
    body = yield from _part(path, [("limit", str(PAGE)), *params])
    rows = body.get(key) if isinstance(body, Mapping) else body
    return list(rows) if isinstance(rows, list) else []


def _part(path: str, params: list[tuple[str, str]] | None = None) -> Flow[Any]:
    """Read one thing; ``None`` if the server has none for us."""
    request = Request("GET", path, params or [], rank=HISTORY, decode=_decode)
    try:
        return accept(request, (yield request))
    except (Refused, Unreadable):
        return None


def _decode(body: bytes | bytearray) -> Any:
    if len(body) > MAX_BYTES:
        raise ValueError(f"{len(body)} bytes; at most {MAX_BYTES} are read")
    return json.loads(body)


def _with_room(item: Any, phase: str) -> Flow[Any]:
    """Return the workload with one more message if it asks for more than its cluster has."""
    if not isinstance(item, Mapping) or not Evidence(phase).is_waiting:
        return item
    gpus, cluster = gpus_of_item(item), item.get("clusterId")
    if not gpus or not isinstance(cluster, str):
        return item
    try:
        total = yield from capacity.gpus_of_nodes(cluster, "TOTAL_GPUS")
    except RunaiError:
        return item
    return _with_message(item, over_cluster(gpus, total))


def _with_message(item: JsonMapping, figures: str) -> JsonMapping:
    if not figures:
        return item
    message = {"phaseReason": "MoreGpusThanCluster", "userMessage": figures}
    return {**item, "pendingSchedulingMessages": [message]}
