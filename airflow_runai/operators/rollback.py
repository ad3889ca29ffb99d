"""Make an earlier champion the champion again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.values import whole
from airflow_runai.errors import InvalidArgument
from airflow_runai.tasks.champions import IN_EVENTS, champions_of, check_again, roll_back
from airflow_runai.tasks.checkpoint_result import fill_events
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.lineage import LineageSource, note_champion
from airflow_runai.tasks.query_checks import check_level
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiRollbackChampionOperator(BaseOperator, ReadableTask, LineageSource):
    """
    Make an earlier champion the champion again.

    A rollback is a new entry in the history of the pointer, so nothing is lost. It is refused if
    the checkpoint is gone. Repeating the task in the same DAG run changes nothing. The result is
    the pointer's content, with ``rollback`` in it. Assets in ``outlets`` get uri, step, digest,
    metrics and run, which is the one that promoted it, as the ``extra`` of their event.

    :param champion: path of the pointer, as the container calls it, or a URI; templated.
    :param to: number of the promotion to go back to, as ``airflow runai champion history`` shows
        it; default: the one before the present champion; templated.
    :param level: how deep to check the checkpoint first: 0 that it is there, 1 its structure, 2 or
        3 also every byte and its digest.
    :param path_map: container prefixes to worker prefixes, for ``champion``; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    """

    template_fields: Sequence[str] = ("champion", "to", "path_map", "storage_conn_id")
    template_fields_renderers = {"path_map": "json"}
    ui_color = "#f5c8b8"

    def __init__(
        self,
        *,
        champion: str,
        to: int | str | None = None,
        level: int = 1,
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_level(level)
        self.champion = champion
        self.to = to
        self.level = level
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> JsonObject:
        """Append the earlier champion to the history."""
        check = partial(check_again, level=self.level, storage_conn_id=self.storage_conn_id)
        with fail_without_retry():
            to = _number(self.to)
            with champions_of(self.champion, self.path_map, self.storage_conn_id) as history:
                champion = roll_back(history, to, _asker(context), check)
        self.log.info("rolled back to %s (step %s)", champion["uri"], champion.get("step"))
        note_champion(self, champion)
        fill_events(self, context, {key: champion.get(key) for key in IN_EVENTS})
        return champion


def _asker(context: Context) -> JsonObject:
    ti = context["ti"]
    names = ("dag_id", "run_id", "task_id", "map_index")
    return {name: getattr(ti, name) for name in names}


def _number(to: object) -> int | None:
    try:
        return None if to is None else int(whole(0)(to))
    except ValueError as error:
        raise InvalidArgument([f"to: {error}"]) from None
