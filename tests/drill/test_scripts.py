"""The drill held for real: our own example survives it, and four copies of it fail for the right reason."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from airflow_runai.drill.judgement import Outcome
from airflow_runai.drill.plan import Plan
from airflow_runai.drill.rehearsal import hold

HERE = Path(__file__).parent
DIGITS = HERE.parents[1] / "dags" / "digits"
#: Stand-ins for scikit-learn's digits spare each start a second.
FAST = {"PYTHONPATH": f"{DIGITS}:{HERE / 'scripts' / 'data'}:{HERE.parents[1]}", "OMP_NUM_THREADS": "1"}
PACE = {"EPOCHS": "3", "SECONDS_PER_EPOCH": "1", "CHECKPOINT_EVERY": "5"}

pytestmark = pytest.mark.slow


def plan(script: Path, **variables: str) -> Plan:
    return Plan(script, preempt_after=0.8, times=2, grace=10.0, environment={**PACE, **FAST, **variables})


def copy(name: str) -> Plan:
    return plan(HERE / "scripts" / name / "startup.sh")


def verdicts(outcome: Outcome) -> dict[str, str]:
    return {check.name: check.verdict for check in outcome.checks}


def reason(outcome: Outcome, name: str) -> str:
    return next(check.reason for check in outcome.checks if check.name == name)


def differing(outcome: Outcome) -> dict[str, str]:
    return {name: verdict for name, verdict in verdicts(outcome).items() if verdict != "pass"}


def held(drill: Plan) -> Outcome:
    told: list[str] = []
    outcome = hold(drill, told.append)
    assert len(told) >= 4, "one line for each start"
    return outcome


def test_our_own_example_survives() -> None:
    # With the real scikit-learn, as a user would run it.
    outcome = held(plan(DIGITS / "startup.sh", PYTHONPATH=FAST["PYTHONPATH"].rpartition(":")[2]))
    assert differing(outcome) == {}
    assert outcome.exit_code == 0
    run = outcome.facts.run
    assert [start.exit_code for start in run.starts] == [143, 143, 0]
    assert len({start.node for start in run.starts[:2]}) == 2, "given back on another node"
    assert len(outcome.facts.references) == 1
    assert [loss.steps for loss in outcome.losses] == [0, 0]
    assert "bit for bit" in reason(outcome, "result")


def test_a_training_without_checkpoints_does_not() -> None:
    outcome = held(copy("no_checkpoints"))
    unseen = dict.fromkeys(("valid", "atomic", "position", "result"), "unknown")
    assert differing(outcome) == {"sigterm": "fail", "resumed": "fail", **unseen}
    assert "without a new checkpoint; this start had saved none" in reason(outcome, "sigterm")
    assert "began anew" in reason(outcome, "resumed")
    assert all(loss.seconds > 0.5 for loss in outcome.losses)


def test_a_training_that_forgets_its_epoch_does_not() -> None:
    outcome = held(copy("forgets_its_epoch"))
    assert differing(outcome) == {"position": "fail", "result": "fail"}
    assert "it resumes its weights but not its place in the training" in reason(outcome, "position")
    assert "an uninterrupted run with step 69" in reason(outcome, "result")


def test_a_training_that_ignores_sigterm_does_not() -> None:
    outcome = held(replace(plan(HERE / "scripts" / "ignores_sigterm" / "startup.sh", EPOCHS="4"), grace=0.5))
    assert differing(outcome) == {"sigterm": "fail"}
    assert "did not end within the grace of 0.5 s after SIGTERM and was killed" in reason(outcome, "sigterm")
    assert [start.killed for start in outcome.facts.run.preempted] == [True, True]


def test_a_training_that_writes_its_checkpoint_in_place_does_not() -> None:
    outcome = held(copy("writes_in_place"))
    assert differing(outcome) == {"atomic": "fail"}
    assert "were written in place, under their final name; killed in that moment, it left" in reason(outcome, "atomic")
    assert "and ended with exit code 1" in reason(outcome, "atomic")
