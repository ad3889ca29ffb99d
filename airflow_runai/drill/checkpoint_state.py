"""What lies in a checkpoint directory while nobody writes: the newest checkpoint, and the newest that is accepted."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from airflow_runai.checkpoints import Report, RootProblem, select
from airflow_runai.drill.facts import CheckpointState, CheckpointSummary

_MAX_MANIFEST_BYTES = 1 << 20


def read_state(root: Path) -> CheckpointState:
    """
    Read the checkpoints below a directory, newest first, until one is accepted.

    What nothing in its format can prove is accepted: a drill sees by itself whether it was torn.
    """
    try:
        found = select(root, accept_unverifiable=True)
    except RootProblem:
        return CheckpointState()
    best = _seen(found.chosen) if found.chosen else None
    return CheckpointState(_seen(found.rejected[0]) if found.rejected else best, best)


def _seen(report: Report) -> CheckpointSummary:
    errors = [finding for finding in report.findings if finding.severity == "error"]
    foreign = any(finding.code == "format-unknown" for finding in errors)
    path = Path(report.path)
    return CheckpointSummary(
        name=path.name,
        verdict="unknown" if foreign else str(report.verdict),
        step=report.step,
        digest=report.digest,
        message=errors[0].message if errors else "",
        metrics=_metrics(path / "manifest.json") if report.accepted() else {},
    )


def _metrics(manifest: Path) -> Mapping[str, Any]:
    """
    Read the metrics that our own publication file keeps beside a checkpoint, if it wrote this one.
    """
    try:
        if manifest.stat().st_size > _MAX_MANIFEST_BYTES:
            return {}
        found = json.loads(manifest.read_text()).get("metrics")
    except (OSError, ValueError, AttributeError):
        return {}
    numbers = found.items() if isinstance(found, dict) else ()
    return {
        name: value
        for name, value in numbers
        if isinstance(value, int | float) and math.isfinite(value)
    }
