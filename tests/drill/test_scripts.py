"""The drill held for real: our own example survives it, and four copies of it fail for the right reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_runai.drill.judgement import DrillResult
from airflow_runai.drill.plan import DrillPlan
from airflow_runai.drill.whole_drill import hold

HERE = Path(__file__).parent
DIGITS = HERE.parents[1] / "dags" / "digits"
#: Stand-ins for scikit-learn's digits spare each start a second.
FAST = {
    "PYTHONPATH": f"{DIGITS}:{HERE / 'scripts' / 'data'}:{HERE.parents[1]}",
    "OMP_NUM_THREADS": "1",
}
PACE = {"EPOCHS": "3", "SECONDS_PER_EPOCH": "0.6", "CHECKPOINT_EVERY": "5"}

Drills = Mapping[str, Future[DrillResult]]

pytestmark = pytest.mark.slow


def plan(script: Path, **variables: str) -> DrillPlan:
    return DrillPlan(
        script, preempt_after=0.5, times=2, grace=10.0, environment={**PACE, **FAST, **variables}
    )


def scripts() -> dict[str, DrillPlan]:
    copies = {
        folder.parent.name: plan(folder) for folder in (HERE / "scripts").glob("*/startup.sh")
    }
    slow = replace(plan(copies["ignores_sigterm"].script, EPOCHS="4"), grace=0.3)
    return {**copies, "ignores_sigterm": slow, "example": plan(DIGITS / "startup.sh")}


@pytest.fixture(scope="module")
def drills() -> Iterator[Drills]:
    """All drills at the same time: they sleep more than they work."""
    with ThreadPoolExecutor(3) as threads:
        yield {name: threads.submit(held, drill) for name, drill in scripts().items()}


def verdicts(outcome: DrillResult) -> dict[str, str]:
    return {check.name: check.verdict for check in outcome.checks}


def reason(outcome: DrillResult, name: str) -> str:
    return next(check.reason for check in outcome.checks if check.name == name)


def differing(outcome: DrillResult) -> dict[str, str]:
    return {name: verdict for name, verdict in verdicts(outcome).items() if verdict != "pass"}


def held(drill: DrillPlan) -> DrillResult:
    lines: list[str] = []
    outcome = hold(drill, lines.append)
    assert len(lines) >= 4, "one line for each start"
    return outcome


def test_our_own_example_survives(drills: Drills) -> None:
    outcome = drills["example"].result()
    assert differing(outcome) == {}
    assert outcome.exit_code == 0
    run = outcome.facts.run
    assert [start.exit_code for start in run.starts] == [143, 143, 0]
    assert len({start.node for start in run.starts[:2]}) == 2, "given back on another node"
    assert len(outcome.facts.references) == 1
    assert all(loss.steps in (0, 1, 2) for loss in outcome.losses), (
        "at most the step that was under way"
    )
    assert "bit for bit" in reason(outcome, "result")


def test_a_training_without_checkpoints_does_not(drills: Drills) -> None:
    outcome = drills["no_checkpoints"].result()
    unseen = dict.fromkeys(("valid", "atomic", "position", "result"), "unknown")
    assert differing(outcome) == {"sigterm": "fail", "resumed": "fail", **unseen}
    assert "without a new checkpoint; this start had saved none" in reason(outcome, "sigterm")
    assert "began anew" in reason(outcome, "resumed")
    assert all(loss.seconds > 0.3 for loss in outcome.losses)


def test_a_training_that_forgets_its_epoch_does_not(drills: Drills) -> None:
    outcome = drills["forgets_its_epoch"].result()
    assert differing(outcome) == {"position": "fail", "result": "fail"}
    assert "it resumes its weights but not its place in the training" in reason(outcome, "position")
    assert "an uninterrupted run with step 69" in reason(outcome, "result")


def test_a_training_that_ignores_sigterm_does_not(drills: Drills) -> None:
    outcome = drills["ignores_sigterm"].result()
    assert differing(outcome) == {"sigterm": "fail"}
    assert "did not end within the grace of 0.3 s after SIGTERM and was killed" in reason(
        outcome, "sigterm"
    )
    assert [start.killed for start in outcome.facts.run.preempted] == [True, True]


def test_a_training_that_writes_its_checkpoint_in_place_does_not(drills: Drills) -> None:
    outcome = drills["writes_in_place"].result()
    assert differing(outcome) == {"atomic": "fail"}
    assert (
        "were written in place, under their final name; killed in that moment, it left"
        in reason(outcome, "atomic")
    )
    assert "and ended with exit code 1" in reason(outcome, "atomic")
