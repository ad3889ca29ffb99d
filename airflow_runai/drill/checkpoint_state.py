"""What lies in a checkpoint directory while no process writes to it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from airflow_runai.checkpoints import Report, RootProblem, select
from airflow_runai.drill.facts import CheckpointState, CheckpointSummary

_MAX_MANIFEST_BYTES = 1 << 20


def read_state(root: Path) -> CheckpointState:
    """
    Read the checkpoints below a directory, newest first, until one is accepted.

    Formats that cannot prove their content are accepted: the drill itself sees a torn write.
    """
    try:
        selection = select(root, accept_unverifiable=True)
    except RootProblem:
        return CheckpointState()
    best = _summary(selection.chosen) if selection.chosen else None
    # Checkpoints are tried from the newest on: the first rejected one is the newest of all.
    newest = _summary(selection.rejected[0]) if selection.rejected else best
    return CheckpointState(newest, best)


def _summary(report: Report) -> CheckpointSummary:
    errors = [finding for finding in report.findings if finding.severity == "error"]
    # That a format cannot be read here says nothing about the training.
    is_foreign = any(finding.code == "format-unknown" for finding in errors)
    path = Path(report.path)
    return CheckpointSummary(
        name=path.name,
        verdict="unknown" if is_foreign else str(report.verdict),
        step=report.step,
        digest=report.digest,
        message=errors[0].message if errors else "",
        metrics=_metrics(path / "manifest.json") if report.accepted() else {},
    )


def _metrics(manifest: Path) -> Mapping[str, float]:
    """Read the metrics that ``training/preemptible.py`` keeps beside a checkpoint, if any."""
    try:
        if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
            return {}
        metrics = json.loads(manifest.read_text()).get("metrics")
    except (OSError, ValueError, AttributeError):
        return {}
    if not isinstance(metrics, dict):
        return {}
    return {
        name: value
        for name, value in metrics.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }
