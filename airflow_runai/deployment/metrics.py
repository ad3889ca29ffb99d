"""Airflow's own metrics (StatsD, Datadog, OpenTelemetry), where the site has switched them on."""

from __future__ import annotations

import logging
from functools import lru_cache

from airflow.sdk.configuration import conf

from airflow_runai.core.flow import Flow, Reply
from airflow_runai.errors import Unreachable

log = logging.getLogger(__name__)

_SWITCHES = ("statsd_on", "statsd_datadog_enabled", "otel_on")


def count(name: str, **tags: str) -> None:
    """
    Add 1 to a counter; never fails.

    :param tags: dropped by a StatsD server that knows none.
    """
    if not _are_on():
        return
    try:
        # Its import configures the metrics of this process. Airflow itself configures those of a
        # triggerer's process for triggers for its own use only.
        from airflow.sdk import serde  # noqa: F401
        from airflow.sdk.observability import stats

        stats.incr(name, tags=tags)
    except Exception as error:
        log.debug("%s is not counted (%s)", name, error)


@lru_cache(maxsize=1)
def _are_on() -> bool:
    return any(conf.getboolean("metrics", switch, fallback=False) for switch in _SWITCHES)


def counted(flow: Flow[Reply]) -> Flow[Reply]:
    """Return the flow of one request with its failure counted; a 404 is an answer like others."""
    try:
        reply = yield from flow
    except Unreachable:
        count("runai.api_errors", status="unreachable")
        raise
    if reply.status >= 400 and reply.status != 404:
        count("runai.api_errors", status=str(reply.status))
    return reply
