"""Remove old checkpoints, and never one that is still needed."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.texts import TEXT_LIMIT, printable
from airflow_runai.errors import CheckpointUnreadable, InvalidArgument, NoValidCheckpoint
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.locations import location, small_file, untrusted_below
from airflow_runai.tasks.missing_paths import why_missing
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from pathlib import Path

    from airflow.sdk import Context

    from airflow_runai.checkpoints.keeping.retention import Retention, RetentionPlan

#: Names in a result, which goes to XCom; the log has all.
MAX_NAMES = 100


class RunaiCheckpointRetentionOperator(BaseOperator, ReadableTask):
    """
    Remove old checkpoints of a training by rule.

    It never removes the newest valid checkpoint or a newer one, the champion, a checkpoint that
    :class:`RunaiEvaluationOperator` is evaluating, one that is being written, or one that could not
    be read. If no checkpoint is valid, it removes nothing. The result is ``{removed, kept}``:
    names, and why each was kept. Not for object storage.

    :param root: directory with checkpoints, as the container calls it; templated.
    :param keep_last: number of newest valid checkpoints to keep (≥ 1).
    :param keep_best: number of valid checkpoints with the best ``metric`` to keep.
    :param metric: a metric in the manifests, from ``save_checkpoint(…, metrics=…)``.
    :param metric_mode: ``max`` if higher values are better, ``min`` if lower ones are.
    :param keep_names: names or patterns (``step-*0000``) of checkpoints to keep; templated.
    :param champion: the champion pointer that :class:`RunaiPromoteCheckpointOperator` writes;
        templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param level: how deep to check the checkpoints that are to count as valid, 0 to 3.
    :param accept_unverifiable: also count formats without checksums as valid.
    :param accept: codes of findings that only warn, as in :class:`RunaiSelectCheckpointOperator`.
    :param min_age_seconds: keep anything modified within this many seconds.
    :param dry_run: only log and return what would be removed.
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
        self.only_plan = dry_run  # `dry_run` itself is Airflow's method

    def execute(self, context: Context) -> JsonObject:
        """Plan, log, remove."""
        with fail_without_retry():
            plan = self._plan()
            kept = {printable(name, TEXT_LIMIT): why for name, why in plan.keep.items()}
            for name, why in kept.items():
                self.log.info("kept: %s (%s)", name, why)
            gone = plan.remove if self.only_plan else self._remove(plan)
        # Databases refuse some characters, and a training may use any in a name.
        names = [printable(checkpoint.name, TEXT_LIMIT) for checkpoint in gone]
        action = "would be removed" if self.only_plan else "removed"
        self.log.info("%s: %s", action, ", ".join(names) or "nothing")
        return {"removed": names[:MAX_NAMES], "kept": dict(list(kept.items())[:MAX_NAMES])}

    def _remove(self, plan: RetentionPlan) -> tuple[Path, ...]:
        # Imported here, and below: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints.keeping.removal import remove
        from airflow_runai.checkpoints.keeping.retention import RetentionProblem

        try:
            return remove(plan, now=time.time())
        except RetentionProblem as error:
            # The plan was sound a moment ago, so a retry may find the storage as it should be.
            raise CheckpointUnreadable(str(error)) from error

    def _plan(self) -> RetentionPlan:
        from airflow_runai.checkpoints import RootProblem
        from airflow_runai.checkpoints.keeping.retention import RetentionProblem, plan_retention

        root = location(self.root, self.path_map)
        champion = small_file(self.champion, self.path_map) if self.champion else None
        try:
            return plan_retention(
                root,
                self._rules(),
                now=time.time(),
                champion=champion,
                below=untrusted_below(self.root, self.path_map),
            )
        except (RootProblem, RetentionProblem) as error:
            code = getattr(error, "code", None)
            if code == "root-unreadable":
                raise CheckpointUnreadable(str(error)) from error
            missing = why_missing(self.root, self.path_map) if code == "root-missing" else ""
            raise NoValidCheckpoint(f"{error}{missing}") from error

    def _rules(self) -> Retention:
        from airflow_runai.checkpoints.keeping.retention import Retention, RetentionProblem

        try:
            return Retention(
                keep_last=self.keep_last,
                keep_best=self.keep_best,
                metric=self.metric,
                metric_mode=self.metric_mode,
                keep_names=_names(self.keep_names),
                level=self.level,
                accept_unverifiable=self.accept_unverifiable,
                accept=tuple(self.accept),
                min_age_seconds=self.min_age_seconds,
            )
        except RetentionProblem as error:
            raise InvalidArgument(error.problems) from error


def _names(names: object) -> tuple[str, ...]:
    # Jinja may have made one text of a list: its letters would be patterns, and keep what they hit.
    if isinstance(names, list | tuple) and all(isinstance(name, str) for name in names):
        return tuple(names)
    raise InvalidArgument([f"keep_names: {names!r}; allowed: a list of names or patterns"])
