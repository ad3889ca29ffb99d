"""Measurements of a workload's GPUs are read leniently, and never more than was asked for."""

from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends.measurements import MAX_SAMPLES, gpu_utilization
from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.usage import MIN_SAMPLES, Incarnation, Sample, idle_share

NOON = 1_700_000_000.0


def _read(body: Any, status: int = 200) -> tuple[tuple[Sample, ...], Request]:
    flow = gpu_utilization("w/1", NOON, NOON + 90)
    request = next(flow)
    assert isinstance(request, Request)
    with pytest.raises(StopIteration) as end:
        flow.send(Reply(status, NOON, body))
    return end.value.value, request


def _measured(*values: Any, kind: str = "GPU_UTILIZATION") -> dict[str, Any]:
    return {"measurements": [{"type": kind, "labels": {}, "values": list(values)}]}


def test_the_request_names_metric_times_and_number() -> None:
    _, request = _read(_measured())
    assert request.path == "/api/v1/workloads/w%2F1/metrics"
    assert dict(request.params) == {
        "metricType": "GPU_UTILIZATION",
        "start": "2023-11-14T22:13:20.000Z",
        "end": "2023-11-14T22:14:50.000Z",
        "numberOfSamples": "1000",
    }


def test_values_are_numbers_or_texts() -> None:
    at = "2023-11-14T22:13:20Z"
    body = _measured({"value": "90.5", "timestamp": at}, {"value": 0, "timestamp": at})
    assert _read(body)[0] == (Sample(NOON, 90.5), Sample(NOON, 0.0))
    assert _read(body, 207)[0] == (Sample(NOON, 90.5), Sample(NOON, 0.0))


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"measurements": None},
        {"measurements": [7, {"type": "GPU_UTILIZATION", "values": 8}]},
        _measured({"value": "x", "timestamp": "2023-11-14T22:13:20Z"}, "odd"),
        _measured({"value": "NaN", "timestamp": "2023-11-14T22:13:20Z"}),
        _measured({"value": "1", "timestamp": "yesterday"}),
        _measured({"value": "1", "timestamp": "2023-11-14T22:13:20Z"}, kind="POD_COUNT"),
    ],
)
def test_what_cannot_be_read_is_left_out(body: Any) -> None:
    assert _read(body)[0] == ()


def test_a_server_that_sends_more_than_asked_for_is_cut_off() -> None:
    many = [{"value": 1, "timestamp": "2023-11-14T22:13:20Z"}] * (MAX_SAMPLES + 5)
    assert len(_read(_measured(*many))[0]) == MAX_SAMPLES


def test_idle_is_what_the_runs_hold_of_it() -> None:
    made = [Incarnation(0.0, 100.0), Incarnation(200.0, 300.0)]
    samples = [Sample(float(at), 95.0 if at < 60 else 0.0) for at in range(0, 300, 10)]
    # 6 of 20 within the runs were busy; what was measured between them does not count.
    assert idle_share(samples, made) == 0.7
    assert idle_share(samples[: MIN_SAMPLES - 1], made) is None
