"""How busy a workload's GPUs were, as the control plane measured it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from typing import Any
from urllib.parse import quote

from airflow_runai.backends.replies import accept
from airflow_runai.core.flow import Flow, Request
from airflow_runai.core.usage import Sample
from airflow_runai.core.workload import epoch

_UTILIZATION = "GPU_UTILIZATION"
#: The most that the control plane returns.
MAX_SAMPLES = 1000


def gpu_utilization(workload_id: str, start: float, end: float) -> Flow[tuple[Sample, ...]]:
    """
    Read the utilization of a workload's GPUs, in percent, between two moments (epoch seconds).

    :return: empty where the server measures nothing (it answers 207), or shows nothing readable.
    """
    request = Request(
        "GET",
        f"/api/v1/workloads/{quote(workload_id, safe='')}/metrics",
        params=[
            ("metricType", _UTILIZATION),
            ("start", _iso(start)),
            ("end", _iso(end)),
            ("numberOfSamples", str(MAX_SAMPLES)),
        ],
    )
    return tuple(_samples(accept(request, (yield request))))[:MAX_SAMPLES]


def _samples(body: Any) -> Iterator[Sample]:
    for measured in _objects(body, "measurements"):
        if measured.get("type") == _UTILIZATION:
            for value in _objects(measured, "values"):
                yield from _sample(value)


def _sample(value: Mapping[str, Any]) -> Iterator[Sample]:
    at = epoch(value.get("timestamp"))
    try:
        percent = float(value.get("value", math.nan))
    except (TypeError, ValueError):
        return
    if at is not None and math.isfinite(percent):
        yield Sample(at, percent)


def _objects(body: Any, key: str) -> list[Mapping[str, Any]]:
    listed = body.get(key) if isinstance(body, Mapping) else None
    entries = listed if isinstance(listed, list) else []
    return [entry for entry in entries if isinstance(entry, Mapping)]


def _iso(moment: float) -> str:
    text = datetime.fromtimestamp(moment, timezone.utc).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
