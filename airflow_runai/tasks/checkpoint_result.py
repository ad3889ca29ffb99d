"""A selection of checkpoints as a task's result: small enough for XCom, and printable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from airflow_runai.core.champions import identity
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.lineage import checkpoint_of
from airflow_runai.core.paths import PathMap, to_container
from airflow_runai.core.texts import printable
from airflow_runai.errors import NoValidCheckpoint
from airflow_runai.tasks.lineage import located
from airflow_runai.tasks.locations import without_connection

if TYPE_CHECKING:
    from airflow.sdk import BaseOperator, Context

    from airflow_runai.checkpoints import Report, Selection

#: Refused checkpoints in a result; the log and the report have all.
MAX_REFUSED = 20
#: Characters of a text that is only shown; findings quote names of files.
MAX_SHOWN_LENGTH = 2000


def selection_result(
    selection: Selection,
    path_map: PathMap,
    storage_conn_id: str | None,
    quarantined: Mapping[str, str],
) -> JsonObject:
    """
    Return what goes to XCom; the chosen checkpoint has the container's name beside the worker's.

    :param quarantined: the paths of moved checkpoints before and after the move.
    :raises NoValidCheckpoint: if the name could not be passed on; databases refuse some characters.
    """
    chosen = selection.chosen
    assert chosen is not None, "nothing was chosen"
    uri = without_connection(chosen.path, storage_conn_id)
    if not uri.isprintable():
        raise NoValidCheckpoint(
            f"{uri!a}: is valid, but its name contains unprintable characters; rename it"
        )
    return {
        "path": to_container(uri, path_map),
        "uri": uri,
        "step": chosen.step,
        "digest": chosen.digest,
        "format": chosen.format,
        "verdict": str(chosen.verdict),
        "bytes": chosen.bytes,
        "refused": [
            _refused(report, storage_conn_id, quarantined.get(report.path))
            for report in selection.rejected[:MAX_REFUSED]
        ],
    }


def _refused(
    report: Report, storage_conn_id: str | None, quarantine_path: str | None
) -> JsonObject:
    path = without_connection(report.path, storage_conn_id)
    refused = {
        "path": printable(path, MAX_SHOWN_LENGTH),
        "verdict": str(report.verdict),
        "reasons": reasons(report),
    }
    if quarantine_path is not None:
        refused["quarantined"] = quarantine_path
    return refused


def reasons(report: Report) -> str:
    """Return in one line why a checkpoint was not taken: its errors, or else its last findings."""
    errors = [finding.message for finding in report.findings if finding.severity == "error"]
    # Without an error the verdict comes of what could not be proven.
    shown = errors or [finding.message for finding in report.findings[-3:]]
    return printable(f"{report.verdict} ({'; '.join(shown[:3])})", MAX_SHOWN_LENGTH)


def announce(task: Any, context: Context, verb: str, result: JsonMapping, refused: int) -> None:
    """
    Tell the log, OpenLineage and the events of ``outlets`` which checkpoint a task has found.

    :param task: an operator or sensor with a ``root``, a ``path_map`` and a ``storage_conn_id``.
    :param verb: what it did: ``chosen`` or ``found``.
    :param refused: how many were refused; of these the number only, for Airflow keeps each event.
    """
    words = "%s: %s (step %s, %s)"
    task.log.info(words, verb, result["uri"], result["step"], result["verdict"])
    root = located(task.root, task.path_map, task.storage_conn_id)
    task.note_lineage(inputs=(root,), outputs=(checkpoint_of(result),))
    fill_events(task, context, {**result, "refused": refused})


def workload_event(result: JsonMapping) -> JsonObject:
    """Return what the event of an asset tells of a workload, given its task's result."""
    judged = result.get("checkpoint")
    known = {key: result[key] for key in ("workload_id", "name", "project")}
    known |= {key: result[key] for key in ("metrics", "passed") if key in result}
    return known | (identity(judged) if isinstance(judged, Mapping) else {})


def fill_events(task: BaseOperator, context: Context, extra: JsonMapping) -> None:
    """Give the events of the task's ``outlets`` what consumers of the assets need."""
    for asset in task.outlets:
        context["outlet_events"][asset].extra = dict(extra)
