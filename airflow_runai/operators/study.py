"""Ask a study of Optuna for the trials of a sweep, and tell it what came of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.sweep.ranking import check_goal
from airflow_runai.core.sweep.space import read_space
from airflow_runai.core.sweep.trials import Trial, make_trials
from airflow_runai.core.texts import plural
from airflow_runai.errors import RunaiError
from airflow_runai.tasks.argument_checks import check_counts
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.retries import fail_without_retry
from airflow_runai.tasks.trial_results import pull_evaluations, result_of
from airflow_runai.tasks.try_identity import identity

if TYPE_CHECKING:
    from airflow.sdk import Context

#: Key, in the row of a trial, of what the study calls it.
_ASKED = "asked"


class StudyOperator(BaseOperator, ReadableTask):
    """
    Base of operators that use a study.

    :param study: path of a journal file, as the containers call it, on storage that workers share;
        or the id of an Airflow connection to a database (``postgres``, ``mysql``, ``sqlite``), not
        Airflow's own; templated.
    :param study_name: of the study in there; it is made if it does not exist; templated.
    :param metric: name of the metric.
    :param mode: ``max`` or ``min``: which end of the metric is best.
    :param path_map: container prefixes to worker prefixes, for ``study``; templated.
    """

    template_fields: Sequence[str] = ("study", "study_name", "path_map")
    template_fields_renderers = {"path_map": "json"}
    ui_color = "#cfe0f5"

    def __init__(
        self,
        *,
        study: str,
        study_name: str,
        metric: str,
        mode: str = "max",
        path_map: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_goal(metric, mode, min_successful=1)
        self.study, self.study_name = study, study_name
        self.metric, self.mode = metric, mode
        self.path_map = path_map


class RunaiAskStudyOperator(StudyOperator):
    """
    Ask a study of Optuna for the trials of a sweep, all at once.

    A task that is repeated or cleared gets the same trials: they carry the mark of their run in the
    study. The result has a row for each, with ``number`` (its map index), ``parameters``,
    ``name``, ``label`` and ``asked``, by which :class:`RunaiTellStudyOperator` finds it.

    :param space: names of parameters to their values (``docs/optuna.md``).
    :param count: how many trials.
    :param seed: the same seed and the same study lead to the same points.
    """

    def __init__(
        self, *, space: Mapping[str, Any], count: int, seed: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        read_space(space)
        check_counts(count=(count, 1), seed=(seed, 0))
        self.space, self.count, self.seed = space, count, seed

    def execute(self, context: Context) -> list[JsonObject]:
        """Find the trials of this run, and ask for those that are missing."""
        # Imported here: a DAG is parsed without Optuna.
        from airflow_runai.tasks import study, study_storage

        run = identity(context).digest()
        with (
            fail_without_retry(),
            study_storage.study_storage(self.study, self.path_map) as storage,
        ):
            opened = study.open_study(storage, self.study_name, self.metric, self.mode)
            found = study.ask(opened, read_space(self.space), self.count, run, self.seed)
        trials = make_trials([one.parameters for one in found], may_repeat=True)
        for trial, one in zip(trials, found, strict=True):
            self.log.info("trial %d of %s: %s", one.number, self.study_name, trial.label)
        numbers = [{"run": run, "trial": one.number} for one in found]
        return [
            {**asdict(trial), _ASKED: number} for trial, number in zip(trials, numbers, strict=True)
        ]


class RunaiTellStudyOperator(StudyOperator):
    """
    Tell a study of Optuna what came of the trials that it was asked for.

    A trial without a finite metric is told as failed. One that was told before stays as it is. The
    result counts the trials that were ``told`` now, and those of them that ``failed``.

    :param asked: result of :class:`RunaiAskStudyOperator`; templated.
    :param evaluations: id of the mapped task whose results are told.
    """

    template_fields: Sequence[str] = (*StudyOperator.template_fields, "asked")
    template_fields_renderers = {**StudyOperator.template_fields_renderers, "asked": "json"}

    def __init__(
        self, *, asked: Sequence[Mapping[str, Any]], evaluations: str, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.asked = asked
        self.evaluations = evaluations

    def execute(self, context: Context) -> JsonObject:
        """Tell what the study does not know yet."""
        if not self.asked:
            raise RunaiError(
                "asked: the study was not asked for trials, so there is nothing to tell"
            )
        from airflow_runai.tasks import study, study_storage

        pulled = pull_evaluations(context, self.evaluations, len(self.asked))
        scores = dict(map(self._score, self.asked, pulled))
        run = str(self.asked[0][_ASKED]["run"])
        with (
            fail_without_retry(),
            study_storage.study_storage(self.study, self.path_map) as storage,
        ):
            opened = study.open_study(storage, self.study_name, self.metric, self.mode)
            news = study.tell(opened, run, scores)
        failed = sum(scores[number] is None for number in news)
        self.log.info("told %s, of which %d failed", plural(len(news), "trial"), failed)
        return {"told": len(news), "failed": failed}

    def _score(self, row: Mapping[str, Any], evaluation: object) -> tuple[int, float | None]:
        result = result_of(trial_of(row), evaluation)
        return row[_ASKED]["trial"], result.score(self.metric)


def trial_of(row: Mapping[str, Any]) -> Trial:
    """Return the trial of a row that :class:`RunaiAskStudyOperator` has returned."""
    return Trial(row["number"], row["parameters"], row["name"], row["label"])
