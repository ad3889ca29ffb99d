"""Let a trial of a successive halving go on, if it is among the best of its rung."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.sweep.halving import PROMOTE, SKIP
from airflow_runai.core.sweep.ranking import check_goal
from airflow_runai.deployment import configuration
from airflow_runai.errors import CheckpointUnreadable, InvalidArgument
from airflow_runai.tasks.argument_checks import check_counts
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.retries import fail_without_retry
from airflow_runai.tasks.rung_files import Rung, RungQuery, rung_storage, trial_number
from airflow_runai.triggers.halving import RunaiTrialGateTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiTrialGateOperator(BaseOperator, ReadableTask):
    """
    Write a trial's result on a rung, and wait until it goes on or is out; it is skipped if out.

    It goes on as soon as it is among the best 1/η of the results so far and has created one of the
    rung's claims. It is out when all other trials have a result on this rung or have ended, and it
    is not among the best. The first result counts; a task that is cleared finds its claim again.
    The result is ``{trial, rung, score}``.

    :param folder: ``RUN_ROOT/rungs``, as the container calls it, or a URI; different for each run;
        templated.
    :param rung: from 0.
    :param trials: how many trials the sweep has.
    :param eta: one of so many goes on, from 2.
    :param evaluation: result of the trial's :class:`RunaiEvaluationOperator`; templated.
    :param metric: name of the metric.
    :param mode: ``max`` or ``min``: which end of the metric is best.
    :param trial: its number, from 0; default: the map index; templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param deferrable: wait on the triggerer; ``False`` asks again later, as
        a sensor that is rescheduled; neither holds a worker. Default: ``[operators]
        default_deferrable`` where the site has set it, else ``True``.
    :param poll_interval: seconds between looks; default: ``[runai] poll_interval``.
    """

    template_fields: Sequence[str] = (
        "folder",
        "evaluation",
        "trial",
        "path_map",
        "storage_conn_id",
    )
    template_fields_renderers = {"path_map": "json", "evaluation": "json"}
    ui_color = "#f5c8b8"

    def __init__(
        self,
        *,
        folder: str,
        rung: int,
        trials: int,
        eta: int,
        evaluation: Mapping[str, Any] | str,
        metric: str,
        mode: str = "max",
        trial: int | str = "{{ ti.map_index }}",
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        deferrable: bool | None = None,
        poll_interval: float | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_goal(metric, mode, 1)
        check_counts(rung=(rung, 0), trials=(trials, 1), eta=(eta, 2))
        self.folder, self.rung = folder, rung
        self.trials, self.eta = trials, eta
        self.evaluation = evaluation
        self.metric, self.mode = metric, mode
        self.trial = trial
        self.path_map, self.storage_conn_id = path_map, storage_conn_id
        self.deferrable, self.poll_interval = deferrable, poll_interval

    def execute(self, context: Context) -> JsonObject:
        """Write the result; then wait, deferred or rescheduled."""
        with fail_without_retry():
            try:
                with rung_storage(**self._storage()) as folder:
                    Rung(self._query(), folder).record(self._score())
            except CheckpointUnreadable as error:
                self.log.warning("%s; the result is written later", error)
                self._ask_later()
            return self._until_settled()

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> JsonObject:
        """Go on when the trigger has fired: what it saw may be over, so look again."""
        with fail_without_retry():
            return self._until_settled()

    def _until_settled(self) -> JsonObject:
        decision = self._settle()
        if decision == PROMOTE:
            self.log.info("it goes on from rung %s", self.rung)
            return {"trial": self._query().trial, "rung": self.rung, "score": self._score()}
        if decision == SKIP:
            raise AirflowSkipException(
                f"trial {self.trial} is not among the best of rung {self.rung}; it is out"
            )
        if configuration.deferrable(self.deferrable):
            self._defer()
        self._ask_later()

    def _ask_later(self) -> NoReturn:
        # Not a sleep: gates that hold all workers would wait for trials that get none.
        later = timedelta(seconds=self._interval())
        raise AirflowRescheduleException(datetime.now(tz=timezone.utc) + later)

    def _settle(self) -> str | None:
        """Decide; ``None`` if the files cannot be read now, which says nothing about the trial."""
        try:
            with rung_storage(**self._storage()) as folder:
                return Rung(self._query(), folder).settle()
        except CheckpointUnreadable as error:
            self.log.warning("%s; still waiting", error)
            return None

    def _defer(self) -> None:
        self.defer(
            trigger=RunaiTrialGateTrigger(
                query=self._query().to_json(),
                storage=self._storage(),
                poll_interval=self._interval(),
                min_defer_seconds=configuration.seconds("min_defer_seconds"),
            ),
            method_name="execute_complete",
            timeout=None,
        )

    def _query(self) -> RungQuery:
        trial = trial_number(self.trial, self.trials)
        return RungQuery(self.rung, trial, self.trials, self.eta, self.metric, self.mode)

    def _storage(self) -> JsonObject:
        return {
            "folder": self.folder,
            "path_map": self.path_map,
            "storage_conn_id": self.storage_conn_id,
        }

    def _score(self) -> float | None:
        metrics = self.evaluation.get("metrics") if isinstance(self.evaluation, Mapping) else None
        if not isinstance(metrics, Mapping):
            raise InvalidArgument(
                [
                    "evaluation: has no metrics; allowed: the result of RunaiEvaluationOperator, "
                    "unchanged"
                ]
            )
        score = metrics.get(self.metric)
        return None if score is None else float(score)

    def _interval(self) -> float:
        own = self.poll_interval
        return configuration.seconds("poll_interval") if own is None else own
