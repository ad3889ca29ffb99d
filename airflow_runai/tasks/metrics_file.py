"""The file in which an evaluation leaves its metrics."""

from __future__ import annotations

from collections.abc import Mapping

from airflow_runai.core.metrics import parse_metrics
from airflow_runai.errors import MetricsError
from airflow_runai.tasks.locations import small_file
from airflow_runai.tasks.missing_paths import why_missing

#: Bytes. metrics.json is a handful of numbers; a larger file was written by mistake.
MAX_METRICS_BYTES = 1024 * 1024


def read_metrics(
    path: str, path_map: Mapping[str, str] | None, storage_conn_id: str | None = None
) -> dict[str, float]:
    """
    Read the metrics that the evaluation wrote.

    :raises MetricsError: if the file is missing, unreadable, a link, larger than
        :data:`MAX_METRICS_BYTES`, or holds anything but numbers.
    """
    file = small_file(path, path_map, storage_conn_id)
    try:
        raw = file.read(MAX_METRICS_BYTES)
    except FileNotFoundError:
        raise MetricsError(
            f"{file}: missing; the evaluation must write its metrics to the path in $METRICS"
            + why_missing(path, path_map, storage_conn_id)
        ) from None
    except Exception as error:
        raise MetricsError(f"{file}: cannot be read: {complaint(error)}") from error
    # `read` returns one byte more than it was allowed, if there are more.
    if len(raw) > MAX_METRICS_BYTES:
        raise MetricsError(
            f"{file}: larger than {MAX_METRICS_BYTES} bytes; "
            "allowed: a JSON object of a few numbers"
        )
    return parse_metrics(raw, str(file))


def complaint(error: Exception) -> str:
    """Return what a storage library says, in few words."""
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.checking.reader import cause

    return getattr(error, "strerror", None) or cause(error)
