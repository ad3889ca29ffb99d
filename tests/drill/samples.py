"""What a drill could have seen, made by hand: a good one, and ways to spoil it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_runai.drill.facts import (
    CheckpointState,
    CheckpointSummary,
    DrillFacts,
    Start,
    TrainingRun,
    Write,
)
from airflow_runai.drill.judgement import judge
from airflow_runai.drill.plan import DrillPlan

SCRIPT = Path(__file__).parent / "scripts" / "no_checkpoints" / "startup.sh"


def plan(**details: Any) -> DrillPlan:
    return DrillPlan(SCRIPT, **{"preempt_after": 5.0, "times": 2, "grace": 3.0, **details})


def checkpoint(
    step: int | None, content: str = "", verdict: str = "valid", message: str = ""
) -> CheckpointSummary:
    name = "model.pt" if step is None else f"step-{step:08d}"
    return CheckpointSummary(name, verdict, step, f"sha256:{content or step}", message)


def lying(step: int | None, **details: Any) -> CheckpointState:
    seen = checkpoint(step, **details)
    return CheckpointState(seen, seen if seen.accepted else None)


def start(
    number: int, begin: float, seconds: float, standing: CheckpointState | None, **details: Any
) -> Start:
    """A start that handles SIGTERM after a second; preempted, it takes half a second to end."""
    end = begin + seconds
    return Start(
        **{
            "number": number,
            "node": f"node-{2 - number % 2}",
            "started_at": begin,
            "ready_at": begin + 1,
            "ended_at": end,
            "exit_code": 0,
            "reach": "first",
            "first_process": "python",
            "standing": standing,
            **details,
        }
    )


def preempted(number: int, begin: float, standing: CheckpointState | None, **details: Any) -> Start:
    fields = {"signalled_at": begin + 6, "exit_code": 143, **details}
    return start(number, begin, fields.pop("seconds", 6.5), standing, **fields)


def writes(*points: tuple[float, int | None], in_place: bool = False) -> tuple[Write, ...]:
    return tuple(
        Write(at, f"step-{step:08d}" if step is not None else "model.pt", step, in_place)
        for at, step in points
    )


#: Ten steps a second, after one second for imports; saved every twenty.
REFERENCE = TrainingRun(
    "reference",
    "completed",
    (start(1, 0, 13, lying(120)),),
    writes((3, 20), (5, 40), (7, 60), (9, 80), (11, 100), (13, 120)),
)
GOOD = TrainingRun(
    "drill",
    "completed",
    (preempted(1, 0, lying(50)), preempted(2, 10, lying(100)), start(3, 20, 3, lying(120))),
    writes((3, 20), (5, 40), (6.2, 50), (12, 60), (14, 80), (16, 100), (16.1, 100), (23, 120)),
)


def facts(
    run: TrainingRun = GOOD,
    reference: TrainingRun = REFERENCE,
    kill_during_write: TrainingRun | None = None,
    *more: TrainingRun,
    **details: Any,
) -> DrillFacts:
    return DrillFacts(plan(**details), run, (reference, *more), kill_during_write)


def but(run: TrainingRun, number: int, **details: Any) -> TrainingRun:
    """The same run with one start changed."""
    return replace(
        run, starts=tuple(replace(s, **details) if s.number == number else s for s in run.starts)
    )


def verdicts(seen: DrillFacts) -> dict[str, str]:
    return {check.name: check.verdict for check in judge(seen).checks}


def reasons(seen: DrillFacts) -> dict[str, str]:
    return {check.name: check.reason for check in judge(seen).checks}
