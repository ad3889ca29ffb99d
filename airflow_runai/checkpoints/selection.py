"""
The newest checkpoint that passes.

Walks newest first, stops at the first that is accepted, and keeps every report, so that nothing is skipped silently.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from airflow_runai.checkpoints.examination import Policy
from airflow_runai.checkpoints.report import CODES, Finding, Report
from airflow_runai.checkpoints.roots import candidates
from airflow_runai.checkpoints.tree import Location
from airflow_runai.checkpoints.verification import check

__all__ = ["Selection", "select"]


@dataclass(frozen=True)
class Selection:
    """
    What was chosen, and what was looked at before.

    :param chosen: report of the accepted checkpoint; ``None`` when none was accepted.
    :param rejected: reports of the newer ones that were not, newest first.
    """

    chosen: Report | None
    rejected: tuple[Report, ...]


def select(
    root: Location,
    *,
    level: int = 3,
    accept_unverifiable: bool = False,
    strict: bool = False,
    min_step: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Selection:
    """
    Find the newest checkpoint under a root that passes.

    :param root: directory that holds checkpoints.
    :param level: how deep to look, 0 to 3; see :func:`~airflow_runai.checkpoints.check`.
    :param accept_unverifiable: also take a checkpoint whose bytes nothing can prove, such as plain safetensors.
    :param strict: refuse pickles that name classes which are not PyTorch's.
    :param min_step: refuse checkpoints of a lower, or of no, step.
    :param progress: told the number of bytes read of the current checkpoint.
    :raises RootProblem: when there is nothing to choose from.
    """
    rejected: list[Report] = []
    policy = Policy(strict=strict)
    for candidate in candidates(root, policy=policy):
        if min_step is not None and candidate.step is not None and candidate.step < min_step:
            continue
        report = check(candidate.path, level=level, policy=policy, progress=progress)
        if not report.accepted(accept_unverifiable=accept_unverifiable):
            rejected.append(report)
        elif min_step is not None and (report.step is None or report.step < min_step):
            rejected.append(_too_old(report, min_step))
        else:
            return Selection(report, tuple(rejected))
    return Selection(None, tuple(rejected))


def _too_old(report: Report, min_step: int) -> Report:
    code = "below-min-step"
    message = f"step {report.step} is not known to be {min_step} or later; it was left out"
    return replace(report, findings=(*report.findings, Finding(code, CODES[code].severity, report.path, message)))
