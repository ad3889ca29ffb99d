"""
The verdict on what a drill observed. Pure: facts in, checks out.

Each check is a question with three answers; *unknown* never counts as passed or failed. Reasons
name the numbers, advice says what to do; ``docs/drill.md`` has a section for each check.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from airflow_runai.drill import progress_checks, survival_checks
from airflow_runai.drill.answers import Answer, Check
from airflow_runai.drill.facts import DrillFacts
from airflow_runai.drill.losses import Cost, Loss, cost, losses, restarts_from_scratch

#: Name of a check, its question, and the function that answers it.
QUESTIONS: Mapping[str, tuple[str, Callable[[DrillFacts], Answer]]] = {
    "finished": ("Does it reach its end through the preemptions?", survival_checks.finished),
    "sigterm": (
        "Does SIGTERM lead to a saved checkpoint and an end, within the grace?",
        survival_checks.sigterm,
    ),
    "valid": ("Is the newest checkpoint valid every time?", survival_checks.valid),
    "atomic": (
        "Do checkpoints get their final name only when they are whole?",
        survival_checks.atomic,
    ),
    "resumed": ("Does every start go on from the newest checkpoint?", progress_checks.resumed),
    "position": ("Does it do each step once, as without preemptions?", progress_checks.position),
    "result": ("Is the result that of an uninterrupted run?", progress_checks.result),
}


@dataclass(frozen=True)
class DrillResult:
    """
    What a drill observed, and what follows.

    :param cost: ``None`` if no preemption was measured, or if each one costs all work so far.
    """

    facts: DrillFacts
    checks: tuple[Check, ...]
    losses: tuple[Loss, ...]
    cost: Cost | None

    @property
    def exit_code(self) -> int:
        """Return 0 if all checks passed, 1 if one failed, 3 if one could not be decided."""
        verdicts = {check.verdict for check in self.checks}
        if "fail" in verdicts:
            return 1
        # 2 is wrong usage, as everywhere on the command line.
        return 3 if "unknown" in verdicts else 0


def judge(facts: DrillFacts) -> DrillResult:
    """Answer every question."""
    checks = tuple(
        Check(name, question, *answer(facts)) for name, (question, answer) in QUESTIONS.items()
    )
    all_losses = losses(facts)
    # Without checkpoints a preemption costs more the later it comes: no mean describes that.
    bounded_cost = None if restarts_from_scratch(facts) else cost(facts, all_losses)
    return DrillResult(facts, checks, all_losses, bounded_cost)
