"""Say that a trial of a successive halving is over, so that no other waits for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.tasks.argument_checks import check_counts
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.retries import fail_without_retry
from airflow_runai.tasks.rung_files import end_trial, rung_storage, trial_number

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiEndTrialOperator(BaseOperator, ReadableTask):
    """
    Write that no further result of a trial will come, whatever became of it.

    It belongs after all other tasks of the trial, with ``trigger_rule="all_done"``.

    :param folder: as in :class:`RunaiTrialGateOperator`; templated.
    :param trials: how many trials the sweep has.
    :param trial: its number, from 0; default: the map index; templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    """

    template_fields: Sequence[str] = ("folder", "trial", "path_map", "storage_conn_id")
    template_fields_renderers = {"path_map": "json"}
    ui_color = "#f5c8b8"

    def __init__(
        self,
        *,
        folder: str,
        trials: int,
        trial: int | str = "{{ ti.map_index }}",
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_counts(trials=(trials, 1))
        self.folder = folder
        self.trials = trials
        self.trial = trial
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id

    def execute(self, context: Context) -> None:
        """Write the file, unless it is there."""
        with fail_without_retry():
            trial = trial_number(self.trial, self.trials)
            with rung_storage(self.folder, self.path_map, self.storage_conn_id) as folder:
                end_trial(folder, trial)
