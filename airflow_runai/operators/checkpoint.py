"""Find the newest checkpoint that can be proven whole, without executing any of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.core.paths import to_container
from airflow_runai.errors import CheckpointInvalid, CheckpointUndecided, SpecError
from airflow_runai.hooks.failing import without_hope_no_retry
from airflow_runai.hooks.locations import location, without_connection

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_runai.checkpoints import Report, Selection

#: A result goes to XCom: no more refused checkpoints than this are listed in it (the log has all).
MOST_REFUSED = 20


class RunaiCheckpointOperator(BaseOperator):
    """
    Choose the newest valid checkpoint under a root.

    Walks newest first and takes the first that passes; each one refused on the way is logged with its reasons. The
    result is ``{path, uri, step, digest, format, verdict, bytes, refused}``: ``path`` as the container calls it,
    ``uri`` as the worker does. Assets in ``outlets`` get the same as the ``extra`` of their event.

    :param root: directory with checkpoints, as the container calls it, or a URI; templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage.
    :param level: 0 listing, 1 structure, 2 every byte against its checksum, 3 also the content (finite, steps agree).
    :param accept_unverifiable: take formats that carry no checksums (plain safetensors without a manifest).
    :param strict: refuse pickles that name classes other than PyTorch's own.
    :param min_step: refuse older ones; templated.
    """

    template_fields: Sequence[str] = ("root", "path_map", "storage_conn_id", "min_step")
    template_fields_renderers = {"path_map": "json"}
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
        min_step: int | str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if level not in (0, 1, 2, 3):
            raise SpecError([f"level: {level!r}; allowed: 0 listing, 1 structure, 2 integrity, 3 content"])
        self.root = root
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id
        self.level = level
        self.accept_unverifiable = accept_unverifiable
        self.strict = strict
        self.min_step = min_step

    def execute(self, context: Context) -> dict[str, Any]:
        """Select, log, announce; without retry if nothing passes, with retry if something could not be decided."""
        with without_hope_no_retry():
            selection = self._select()
            for report in selection.rejected:
                self.log.warning("refused %s: %s", report.path, _reasons(report))
            if selection.chosen is None:
                raise _nothing_passed(self.root, selection)
            result = self._result(selection.chosen, selection)
        self.log.info("chosen: %s (step %s, %s)", result["uri"], result["step"], result["verdict"])
        for asset in self.outlets:
            context["outlet_events"][asset].extra = {**result, "refused": len(selection.rejected)}
        return result

    def _select(self) -> Selection:
        # Imported here: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints import RootProblem, select

        try:
            return select(
                location(self.root, self.path_map, self.storage_conn_id),
                level=self.level,
                accept_unverifiable=self.accept_unverifiable,
                strict=self.strict,
                min_step=self._least_step(),
            )
        except RootProblem as error:
            kind = CheckpointUndecided if error.code == "root-unreadable" else CheckpointInvalid
            raise kind(str(error)) from error

    def _least_step(self) -> int | None:
        if self.min_step in (None, "", "None"):
            return None
        try:
            return int(str(self.min_step))
        except ValueError:
            raise SpecError([f"min_step: {self.min_step!r}; allowed: a whole number, or nothing"]) from None

    def _result(self, chosen: Report, selection: Selection) -> dict[str, Any]:
        refused = [{"path": r.path, "verdict": str(r.verdict), "reasons": _reasons(r)} for r in selection.rejected]
        uri = without_connection(chosen.path, self.storage_conn_id)
        return {
            "path": to_container(uri, self.path_map or {}),
            "uri": uri,
            "step": chosen.step,
            "digest": chosen.digest,
            "format": chosen.format,
            "verdict": str(chosen.verdict),
            "bytes": chosen.bytes,
            "refused": refused[:MOST_REFUSED],
        }


def _reasons(report: Report) -> str:
    errors = [f.message for f in report.findings if f.severity == "error"] or [f.message for f in report.findings]
    return f"{report.verdict} ({'; '.join(errors[:3])})"


def _nothing_passed(root: str, selection: Selection) -> CheckpointInvalid:
    looked = "; ".join(f"{r.path}: {_reasons(r)}" for r in selection.rejected[:5])
    words = f"{root}: none of {len(selection.rejected)} checkpoints passed: {looked or 'there was no candidate'}"
    verdicts = {str(report.verdict) for report in selection.rejected}
    if verdicts == {"unverifiable"}:
        words += "; accept_unverifiable=True takes formats that carry no checksums"
    return CheckpointUndecided(words) if verdicts & {"unknown", "in_progress"} else CheckpointInvalid(words)
