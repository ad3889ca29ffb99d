"""
The newest checkpoint that passes.

Walks newest first, stops at the first that is accepted, and keeps every report, so that nothing is
skipped silently.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from airflow_runai.checkpoints.checking.findings import Verdict
from airflow_runai.checkpoints.checking.ledger import Ledger
from airflow_runai.checkpoints.checking.report import Report
from airflow_runai.checkpoints.checking.request import Policy
from airflow_runai.checkpoints.checking.requirements import RequirementError, Requirements
from airflow_runai.checkpoints.choosing.roots import candidates
from airflow_runai.checkpoints.choosing.verification import check
from airflow_runai.checkpoints.storage.listing import Location


@dataclass(frozen=True)
class Selection:
    """
    The chosen checkpoint, and those that were checked before it.

    :param chosen: report of the accepted checkpoint; ``None`` if none was accepted.
    :param rejected: reports of the newer ones that were not, newest first.
    :param unproven: how many were refused only because nothing in their format can prove the bytes.
    """

    chosen: Report | None
    rejected: tuple[Report, ...]
    unproven: int = 0

    def advice(self, flag: str) -> str:
        """
        Advise a user who could accept what was refused for lack of proof; empty if no one could.

        :param flag: the option that accepts it.
        """
        count, total = self.unproven, len(self.rejected)
        if self.chosen is not None or not count:
            return ""
        if count < total:
            which = f"{count} of {total} checkpoints, which are whole, were"
        else:
            which = "1 whole checkpoint was" if count == 1 else f"{count} whole checkpoints were"
        return (
            f"{which} refused only because nothing in the format can prove the bytes: accept that "
            f"with {flag}, or let the training publish with a manifest "
            "(preemptible.save_checkpoint), which proves every byte"
        )


def select(
    root: Location,
    *,
    level: int = 3,
    accept_unverifiable: bool = False,
    strict: bool = False,
    accept: Collection[str] = (),
    min_step: int | None = None,
    requirements: Requirements | None = None,
    ledger: Ledger | None = None,
    progress: Callable[[int], None] | None = None,
) -> Selection:
    """
    Find the newest checkpoint under a root that passes.

    :param root: directory that holds checkpoints.
    :param level: how deep to check, 0 to 3; see :func:`~airflow_runai.checkpoints.check`.
    :param accept_unverifiable: also accept a checkpoint whose bytes nothing can prove, such as
        plain safetensors.
    :param strict: refuse pickles that name classes which are not PyTorch's.
    :param accept: codes of findings that only warn; see :class:`Policy`.
    :param min_step: refuse checkpoints of a lower step or of none; short for the requirement of
        that name.
    :param requirements: what else the checkpoint must be.
    :param ledger: of the training's last accepted checkpoint; that of the chosen one is
        ``chosen.ledger``.
    :param progress: called with the number of bytes read of the current checkpoint.
    :raises RootProblem: if there is nothing to choose from.
    :raises RequirementError: if the requirements contradict each other.
    """
    required = _combined(min_step, requirements, level)
    least = required.least_step or 0
    rejected: list[Report] = []
    policy = Policy(strict=strict, accept=frozenset(accept))
    for candidate in candidates(root, policy=policy):
        # One without a step in its name may hold a later one.
        if candidate.step is not None and candidate.step < least:
            continue
        report = check(candidate.path, level=level, policy=policy, ledger=ledger, progress=progress)
        accepted = report.accepted(accept_unverifiable=accept_unverifiable)
        unmet = required.judge(report) if accepted else ()
        if accepted and not unmet:
            return Selection(report, tuple(rejected))
        # The tensors of rejected ones are not needed, and may be many.
        findings = (*report.findings, *unmet)
        rejected.append(replace(report, findings=findings, ledger=Ledger()))
    unproven = sum(report.verdict is Verdict.UNVERIFIABLE for report in rejected)
    return Selection(None, tuple(rejected), 0 if accept_unverifiable else unproven)


def _combined(min_step: int | None, requirements: Requirements | None, level: int) -> Requirements:
    required = requirements or Requirements()
    if min_step is not None and required.min_step not in (None, min_step):
        text = f"min_step: {min_step} here and {required.min_step} among the requirements"
        raise RequirementError([f"{text}; name it once"])
    if required.tensors and level == 0:
        text = "tensors: are asked for at level 0, which opens no file"
        raise RequirementError([f"{text}; allowed: level 1 or more"])
    return required if min_step is None else replace(required, min_step=min_step)
