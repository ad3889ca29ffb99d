"""Make an evaluated checkpoint the champion."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.errors import InvalidArgument, NoValidCheckpoint
from airflow_runai.tasks.checkpoint_result import fill_events
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.locations import small_file
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_runai.checkpoints.storage.small_files import SmallFile

_IN_EVENTS = ("uri", "step", "digest", "metrics")
_REMEMBERED = ("uri", "path", "step", "digest", "metrics", "promoted_at", "run")


class RunaiPromoteCheckpointOperator(BaseOperator, ReadableTask):
    """
    Write the champion pointer: JSON with uri, step, digest, metrics and the previous champion.

    The pointer is replaced atomically; repeating a promotion changes nothing. The result is the
    pointer's content.

    :param champion: path of the pointer, as the container calls it, or a URI; templated.
    :param evaluation: result of :class:`RunaiEvaluationOperator`: its checkpoint is promoted, with
        its metrics; templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    """

    template_fields: Sequence[str] = ("champion", "evaluation", "path_map", "storage_conn_id")
    template_fields_renderers = {"path_map": "json", "evaluation": "json"}
    ui_color = "#f5c8b8"

    def __init__(
        self,
        *,
        champion: str,
        evaluation: Mapping[str, Any] | str,
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.champion = champion
        self.evaluation = evaluation
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> JsonObject:
        """Replace the pointer, unless it already names this checkpoint."""
        # Imported here: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints.keeping.champion import write_champion

        with fail_without_retry():
            challenger = self._challenger(context)
            pointer = small_file(self.champion, self.path_map, self.storage_conn_id)
            champion = _read(pointer)
            # A retry must not make the champion its own predecessor.
            if champion and _same(champion, challenger):
                self.log.info("%s is already the champion: nothing to do", challenger["uri"])
                return champion
            promoted = {**challenger, "previous": _remembered(champion)}
            write_champion(pointer, promoted)
        self.log.info("promoted %s (step %s)", promoted["uri"], promoted["step"])
        fill_events(self, context, {key: promoted[key] for key in _IN_EVENTS})
        return promoted

    def _challenger(self, context: Context) -> JsonObject:
        checkpoint, metrics = _judged(self.evaluation)
        ti = context["ti"]
        return {
            **{key: checkpoint.get(key) for key in ("uri", "path", "step", "digest")},
            "metrics": dict(metrics),
            "promoted_at": time.time(),
            "run": {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id},
        }


def _read(pointer: SmallFile) -> JsonObject | None:
    from airflow_runai.checkpoints.keeping.champion import read_champion

    try:
        return read_champion(pointer)
    except ValueError as error:
        raise NoValidCheckpoint(str(error)) from error


def _judged(evaluation: object) -> tuple[JsonMapping, JsonMapping]:
    """Return checkpoint and metrics of an evaluation that has passed."""
    result = evaluation if isinstance(evaluation, Mapping) else {}
    checkpoint: Any = result.get("checkpoint")
    metrics = result.get("metrics")
    # The checkpoint is a mere path where the evaluation was given one.
    has_uri = isinstance(checkpoint, Mapping) and checkpoint.get("uri")
    if not has_uri or not isinstance(metrics, Mapping):
        raise InvalidArgument(
            [
                "evaluation: has no checkpoint with a uri, or no metrics; allowed: the result "
                "of RunaiEvaluationOperator, with the result of RunaiSelectCheckpointOperator "
                "as its `checkpoint`"
            ]
        )
    if result.get("passed") is False:
        raise NoValidCheckpoint(
            "evaluation: it did not pass its gates; only a checkpoint that passed is promoted"
        )
    return checkpoint, metrics


def _same(champion: JsonMapping, challenger: JsonMapping) -> bool:
    return all(champion.get(key) == challenger[key] for key in ("uri", "step", "digest"))


def _remembered(champion: JsonMapping | None) -> JsonObject | None:
    """Return what the pointer keeps of the previous champion; not its own predecessors."""
    return {key: champion.get(key) for key in _REMEMBERED} if champion else None
