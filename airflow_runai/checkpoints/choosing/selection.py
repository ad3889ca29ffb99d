"""
The newest checkpoint that passes.

Walks newest first, stops at the first that is accepted, and keeps every report, so that nothing is
skipped silently.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace

from airflow_runai.checkpoints.checking.examination import Policy
from airflow_runai.checkpoints.checking.ledger import Ledger
from airflow_runai.checkpoints.checking.report import Report, Verdict
from airflow_runai.checkpoints.checking.requirements import RequirementError, Requirements
from airflow_runai.checkpoints.choosing.roots import candidates
from airflow_runai.checkpoints.choosing.verification import check
from airflow_runai.checkpoints.storage.listing import Location

__all__ = ["Selection", "select"]


@dataclass(frozen=True)
class Selection:
    """
    What was chosen, and what was looked at before.

    :param chosen: report of the accepted checkpoint; ``None`` when none was accepted.
    :param rejected: reports of the newer ones that were not, newest first.
    :param unproven: how many of them were refused only because nothing in their format can prove
        the bytes.
    """

    chosen: Report | None
    rejected: tuple[Report, ...]
    unproven: int = 0

    def advice(self, flag: str) -> str:
        """
        What to do where nothing was chosen and a user may decide otherwise; empty where nothing is to be said.

        :param flag: how that is said here.
        """
        return "" if self.chosen is not None else _advice(self.unproven, len(self.rejected), flag)


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
    :param level: how deep to look, 0 to 3; see :func:`~airflow_runai.checkpoints.check`.
    :param accept_unverifiable: also take a checkpoint whose bytes nothing can prove, such as plain
        safetensors.
    :param strict: refuse pickles that name classes which are not PyTorch's.
    :param accept: codes of findings that shall only warn; see :class:`Policy`.
    :param min_step: refuse checkpoints of a lower, or of no, step; short for the demand of that
        name.
    :param requirements: what else it has to be.
    :param ledger: of the training's last accepted checkpoint; that of the chosen one is
        ``chosen.ledger``.
    :param progress: told the number of bytes read of the current checkpoint.
    :raises RootProblem: when there is nothing to choose from.
    :raises RequirementError: when what is asked for contradicts itself.
    """
    asked = _asked(min_step, requirements, level)
    least = asked.least_step
    rejected: list[Report] = []
    policy = Policy(strict=strict, accept=frozenset(accept))
    for candidate in candidates(root, policy=policy):
        if least is not None and candidate.step is not None and candidate.step < least:
            continue
        report = check(candidate.path, level=level, policy=policy, ledger=ledger, progress=progress)
        accepted = report.accepted(accept_unverifiable=accept_unverifiable)
        unmet = asked.judge(report) if accepted else ()
        if accepted and not unmet:
            return Selection(report, tuple(rejected))
        # Of many rejected ones nobody needs the tensors, and they may be a lot.
        rejected.append(replace(report, findings=(*report.findings, *unmet), ledger=Ledger()))
    unproven = (
        0
        if accept_unverifiable
        else sum(report.verdict is Verdict.UNVERIFIABLE for report in rejected)
    )
    return Selection(None, tuple(rejected), unproven)


def _advice(count: int, total: int, flag: str) -> str:
    """
    Say in one sentence that whole checkpoints were refused for want of a proof, and the two ways out.

    :param count: how many were.
    :param total: of how many; empty if none was.
    :param flag: what accepts them.
    """
    if not count:
        return ""
    which = f"{count} whole checkpoint{'s' if count > 1 else ''} {'were' if count > 1 else 'was'}"
    which = which if count == total else f"{count} of {total} checkpoints, which are whole, were"
    return (
        f"{which} refused only because nothing in the format can prove the bytes: accept that with {flag}, or let the "
        "training publish with a manifest (preemptible.save_checkpoint), which proves every byte"
    )


def _asked(min_step: int | None, requirements: Requirements | None, level: int) -> Requirements:
    asked = requirements or Requirements()
    if min_step is not None and asked.min_step not in (None, min_step):
        raise RequirementError(
            [f"min_step: {min_step} here and {asked.min_step} among the requirements; name it once"]
        )
    if asked.tensors and level == 0:
        raise RequirementError(
            ["tensors: are asked for at level 0, which opens no file; allowed: level 1 or more"]
        )
    return asked if min_step is None else replace(asked, min_step=min_step)
