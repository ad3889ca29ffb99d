"""Select the newest checkpoint that verifies, without executing any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.tasks.checkpoint_query import (
    CheckpointQuery,
    no_valid_checkpoint,
    progress_logger,
    quarantine_rejected,
)
from airflow_runai.tasks.checkpoint_result import announce, reasons
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.lineage import LineageSource
from airflow_runai.tasks.query_checks import check_level, check_on_invalid
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiSelectCheckpointOperator(BaseOperator, ReadableTask, LineageSource):
    """
    Choose the newest valid checkpoint under a root.

    Checks the newest first and takes the first that passes; each refused one is logged with its
    reasons. The result is ``{path, uri, step, digest, format, verdict, bytes, refused}``: ``path``
    is the container's name for it, ``uri`` the worker's. Assets in ``outlets`` get the same as the
    ``extra`` of their event.

    :param root: directory with checkpoints, as the container calls it, or a URI; templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param level: how deep to look: 0 listing, 1 structure, 2 every byte against its checksum, 3
        also the content (finite, steps agree).
    :param accept_unverifiable: take formats without checksums (plain safetensors without a
        manifest).
    :param strict: refuse pickles that name classes other than PyTorch's own.
    :param accept: codes of findings that only warn, such as ``step-disagrees``; see the checkpoints
        page.
    :param min_step: refuse lower steps; templated.
    :param requirements: further requirements: a mapping with ``not_behind`` (a step that was
        reached already), ``world_size`` and ``tensors`` (name or pattern to ``dtype`` and
        ``shape``), or a JSON file with one. A report from ``report_path`` also works; then the
        tensors must be the same; templated.
    :param report_path: JSON file for the full report, as the container calls it, or a URI. Use one
        for each training: the next selection is compared with the ledger in it; templated.
    :param on_invalid: what happens to newer checkpoints that are known to be bad: ``keep`` leaves
        them, ``quarantine`` moves them to ``ROOT/quarantine`` once an older one was accepted (not
        on object storage).
    """

    template_fields: Sequence[str] = (
        "root",
        "path_map",
        "storage_conn_id",
        "min_step",
        "requirements",
        "report_path",
    )
    template_fields_renderers = {"path_map": "json", "requirements": "json"}
    ui_color = "#cde6f5"

    def __init__(
        self,
        *,
        root: str,
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        level: int = 3,
        accept_unverifiable: bool = False,
        strict: bool = False,
        accept: Sequence[str] = (),
        min_step: int | str | None = None,
        requirements: Mapping[str, Any] | str | None = None,
        report_path: str | None = None,
        on_invalid: str = "keep",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_level(level)
        check_on_invalid(on_invalid)
        self.root = root
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id
        self.level = level
        self.accept_unverifiable = accept_unverifiable
        self.strict = strict
        self.accept = accept
        self.min_step = min_step
        self.requirements = requirements
        self.report_path = report_path
        self.on_invalid = on_invalid

    def execute(self, context: Context) -> JsonObject:
        """Select and log; retries apply only if a checkpoint could not be read."""
        with fail_without_retry():
            query = CheckpointQuery.of(self)
            selection = query.select(progress_logger())
            for report in selection.rejected:
                self.log.warning("refused %s: %s", report.path, reasons(report))
            if selection.chosen is None:
                raise no_valid_checkpoint(self.root, selection)
            # Only now: without a good one to fall back on, nothing is moved.
            moves = self.on_invalid == "quarantine"
            quarantined = quarantine_rejected(selection, query) if moves else {}
            result = query.result(selection, quarantined)
        announce(self, context, "chosen", result, len(selection.rejected))
        return result
