"""Let old checkpoints go, and never one that somebody needs."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.core.texts import TEXT_LIMIT, printable
from airflow_runai.errors import CheckpointUnreadable, NoValidCheckpoint, SpecError
from airflow_runai.tasks.locations import location, small_file, untrusted_below
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_runai.checkpoints.keeping.retention import Retention, RetentionPlan

#: A result goes to XCom: no more names than this are listed in it (the log has all).
MOST_NAMES = 100


class RunaiCheckpointRetentionOperator(BaseOperator):
    """
    Remove old checkpoints of a training by rule.

    Never removed are the newest valid one and whatever is newer, the champion, what is being
    evaluated (by :class:`RunaiEvaluationOperator`), what is being written, and what could not be
    read; where none is valid, nothing is. The result is ``{removed, kept}``: names, and for what is
    kept the reason. Not for object storage.

    :param root: directory with checkpoints, as the container calls it; templated.
    :param keep_last: so many of the newest valid ones; at least 1.
    :param keep_best: so many valid ones with the best ``metric``.
    :param metric: a metric in the manifests, from ``save_checkpoint(…, metrics=…)``.
    :param metric_mode: ``max`` if the highest values of the metric are best, ``min`` if the lowest are.
    :param keep_names: names or patterns (``step-*0000``) of what always stays; templated.
    :param champion: the champion pointer that :class:`RunaiPromoteCheckpointOperator` writes;
        templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param level: how deep to look at those that are to count as valid, 0 to 3.
    :param accept_unverifiable: count formats that carry no checksums as valid, too.
    :param accept: codes of findings that shall only warn, as in
        :class:`RunaiSelectCheckpointOperator`.
    :param min_age_seconds: what was changed less than so many seconds ago stays.
    :param dry_run: only say what would go.
    """

    template_fields: Sequence[str] = ("root", "keep_names", "champion", "path_map")
    template_fields_renderers = {"path_map": "json"}
    ui_color = "#e3e3e3"

    def __init__(
        self,
        *,
        root: str,
        keep_last: int = 3,
        keep_best: int = 0,
        metric: str | None = None,
        metric_mode: str = "max",
        keep_names: Sequence[str] = (),
        champion: str | None = None,
        path_map: Mapping[str, str] | None = None,
        level: int = 2,
        accept_unverifiable: bool = False,
        accept: Sequence[str] = (),
        min_age_seconds: float = 600.0,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.root = root
        self.keep_last = keep_last
        self.keep_best = keep_best
        self.metric = metric
        self.metric_mode = metric_mode
        self.keep_names = keep_names
        self.champion = champion
        self.path_map = path_map
        self.level = level
        self.accept_unverifiable = accept_unverifiable
        self.accept = accept
        self.min_age_seconds = min_age_seconds
        self.only_tell = dry_run

    def execute(self, context: Context) -> dict[str, Any]:
        """Plan, tell, remove."""
        # Imported here: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints.keeping.removal import remove
        from airflow_runai.checkpoints.keeping.retention import RetentionProblem

        with fail_without_retry():
            plan = self._plan()
            kept = {printable(name, TEXT_LIMIT): why for name, why in plan.keep.items()}
            for name, why in kept.items():
                self.log.info("kept: %s (%s)", name, why)
            try:
                gone = plan.remove if self.only_tell else remove(plan, now=time.time())
            except RetentionProblem as error:
                raise CheckpointUnreadable(str(error)) from error
        names = [printable(checkpoint.name, TEXT_LIMIT) for checkpoint in gone]
        self.log.info(
            "%s: %s",
            "would be removed" if self.only_tell else "removed",
            ", ".join(names) or "nothing",
        )
        return {"removed": names[:MOST_NAMES], "kept": dict(list(kept.items())[:MOST_NAMES])}

    def _plan(self) -> RetentionPlan:
        from airflow_runai.checkpoints import RootProblem
        from airflow_runai.checkpoints.keeping.retention import RetentionProblem, plan_retention

        root = location(self.root, self.path_map)
        champion = small_file(self.champion, self.path_map) if self.champion else None
        below = untrusted_below(self.root, self.path_map)
        try:
            return plan_retention(
                root, self._rules(), now=time.time(), champion=champion, below=below
            )
        except RootProblem as error:
            kind = CheckpointUnreadable if error.code == "root-unreadable" else NoValidCheckpoint
            raise kind(str(error)) from error
        except RetentionProblem as error:
            raise NoValidCheckpoint(str(error)) from error

    def _rules(self) -> Retention:
        from airflow_runai.checkpoints.keeping.retention import Retention, RetentionProblem

        if not isinstance(self.keep_names, list | tuple) or not all(
            isinstance(name, str) for name in self.keep_names
        ):
            raise SpecError(
                [f"keep_names: {self.keep_names!r}; allowed: a list of names or patterns"]
            )
        try:
            return Retention(
                keep_last=self.keep_last,
                keep_best=self.keep_best,
                metric=self.metric,
                metric_mode=self.metric_mode,
                keep_names=tuple(self.keep_names),
                level=self.level,
                accept_unverifiable=self.accept_unverifiable,
                accept=tuple(self.accept),
                min_age_seconds=self.min_age_seconds,
            )
        except RetentionProblem as error:
            raise SpecError(error.problems) from error
