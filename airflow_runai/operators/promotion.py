"""Make an evaluated checkpoint the champion."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.core.champions import refuse_changed, refuse_older, same
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.values import flag
from airflow_runai.errors import InvalidArgument, NoValidCheckpoint, PromotionRefused
from airflow_runai.tasks.champions import IN_EVENTS, champions_of, remembered
from airflow_runai.tasks.checkpoint_result import fill_events
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.lineage import LineageSource, note_champion
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_runai.checkpoints.keeping.champion_history import ChampionHistory


class RunaiPromoteCheckpointOperator(BaseOperator, ReadableTask, LineageSource):
    """
    Write the champion pointer: JSON with uri, step, digest, metrics and the previous champion.

    The pointer is replaced atomically, and of two promotions at once one fails; repeating a
    promotion changes nothing. The last 50 champions are kept beside the pointer. The result is the
    pointer's content. Assets in ``outlets`` get uri, step, digest, metrics and run as the ``extra``
    of their event.

    :param champion: path of the pointer, as the container calls it, or a URI; templated.
    :param evaluation: result of :class:`RunaiEvaluationOperator`: its checkpoint is promoted, with
        its metrics; templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param allow_older: also promote a checkpoint that was champion before, or that comes from an
        older DAG run than the champion; templated.
    """

    template_fields: Sequence[str] = (
        "champion",
        "evaluation",
        "path_map",
        "storage_conn_id",
        "allow_older",
    )
    template_fields_renderers = {"path_map": "json", "evaluation": "json"}
    ui_color = "#f5c8b8"

    def __init__(
        self,
        *,
        champion: str,
        evaluation: Mapping[str, Any] | str,
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        allow_older: bool | str = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.champion = champion
        self.evaluation = evaluation
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id
        self.allow_older = allow_older

    def execute(self, context: Context) -> JsonObject:
        """Replace the pointer, unless it already names this checkpoint."""
        with fail_without_retry():
            allow_older, challenger = _switch(self.allow_older), self._challenger(context)
            with champions_of(self.champion, self.path_map, self.storage_conn_id) as history:
                champion = history.present()
                # A retry must not make the champion its own predecessor.
                if champion and same(champion, challenger):
                    self.log.info("%s is already the champion: nothing to do", challenger["uri"])
                    history.settle()
                else:
                    self._check(challenger, champion, history, allow_older)
                    champion = _promote(challenger, champion, history)
                    self.log.info("promoted %s (step %s)", champion["uri"], champion["step"])
        note_champion(self, champion)
        fill_events(self, context, {key: champion.get(key) for key in IN_EVENTS})
        return champion

    def _challenger(self, context: Context) -> JsonObject:
        checkpoint, metrics = _judged(self.evaluation)
        ti = context["ti"]
        run = {"dag_id": ti.dag_id, "run_id": ti.run_id, "task_id": ti.task_id}
        return {
            **{key: checkpoint.get(key) for key in ("uri", "path", "step", "digest")},
            "metrics": dict(metrics),
            "promoted_at": time.time(),
            "run": {**run, "run_after": context["dag_run"].run_after.timestamp()},
        }

    def _check(
        self,
        challenger: JsonMapping,
        champion: JsonMapping | None,
        history: ChampionHistory,
        allow_older: bool,
    ) -> None:
        # The key is there if a gate has compared, also where there was no champion yet.
        if isinstance(self.evaluation, Mapping) and "champion" in self.evaluation:
            refuse_changed(self.evaluation["champion"], champion)
        entries, problems = history.entries()
        for problem in problems:
            self.log.warning("%s", problem)
        if not allow_older:
            refuse_older(challenger, champion, entries)


def _promote(
    challenger: JsonObject, champion: JsonObject | None, history: ChampionHistory
) -> JsonObject:
    from airflow_runai.checkpoints.keeping.champion import wrong_in

    if wrong := wrong_in(challenger):
        shown = ", ".join(f"{key}: {str(challenger[key])[:80]!a}" for key in wrong)
        raise InvalidArgument(
            [f"evaluation: {shown}; allowed: what RunaiEvaluationOperator returned, unchanged"]
        )
    try:
        return history.append({**challenger, "previous": remembered(champion)}, champion)
    except PromotionRefused:
        # A worker that was taken for dead may have promoted the same meanwhile.
        winner = history.present()
        if winner is None or not same(winner, challenger):
            raise
        return winner


def _switch(allow_older: object) -> bool:
    try:
        return flag(allow_older)
    except ValueError as error:
        raise InvalidArgument([f"allow_older: {error}"]) from None


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
    if not isinstance(result.get("champion"), (Mapping, type(None))):
        raise InvalidArgument(
            [f"evaluation: champion: {result['champion']!r}; allowed: a mapping, or None"]
        )
    if result.get("passed") is False:
        raise NoValidCheckpoint(
            "evaluation: it did not pass its gates; only a checkpoint that passed is promoted"
        )
    return checkpoint, metrics
