"""From facts to verdicts, by tables; no process is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_runai.drill.facts import CheckpointState, DrillFacts, TrainingRun
from airflow_runai.drill.judgement import QUESTIONS, judge
from airflow_runai.drill.losses import cost, losses

from .samples import (
    GOOD,
    REFERENCE,
    but,
    checkpoint,
    facts,
    lying,
    preempted,
    reasons,
    start,
    verdicts,
    writes,
)

ALL_PASS = dict.fromkeys(QUESTIONS, "pass")
NO_STEPS = TrainingRun(
    "drill",
    "completed",
    (preempted(1, 0, lying(None)), preempted(2, 10, lying(None)), start(3, 20, 3, lying(None))),
    writes((6.2, None), (16.2, None), (23, None)),
)
AGAIN = TrainingRun(  # saves and never loads: starts at step 0 each time
    "drill",
    "completed",
    (preempted(1, 0, lying(50)), preempted(2, 10, lying(50)), start(3, 20, 13, lying(120))),
    writes((3, 20), (5, 40), (6.2, 50), (13, 20), (15, 40), (16.2, 50), (23, 20), (33, 120)),
)
NOTHING = TrainingRun(
    "drill",
    "completed",
    (
        preempted(1, 0, CheckpointState()),
        preempted(2, 10, CheckpointState()),
        start(3, 20, 13, CheckpointState()),
    ),
)
STRUCK = TrainingRun(
    "strike",
    "failed",
    (
        start(
            1,
            0,
            5,
            CheckpointState(checkpoint(40, verdict="invalid", message="cut"), checkpoint(20)),
            killed=True,
        ),
        start(
            2,
            6,
            1,
            CheckpointState(checkpoint(40, verdict="invalid", message="cut"), checkpoint(20)),
            exit_code=1,
        ),
    ),
    writes((3, 20), in_place=True),
)
RECOVERED = replace(STRUCK, ended="completed", writes=writes((3, 20), (6.5, 40), in_place=True))
KILLED = but(GOOD, 2, killed=True, exit_code=137, ended_at=19.0)
IN_PLACE = replace(GOOD, writes=tuple(replace(write, in_place=True) for write in GOOD.writes))


def test_a_training_that_does_it_right_passes_every_check() -> None:
    assert verdicts(facts()) == ALL_PASS
    assert judge(facts()).exit_code == 0


def foreign(standing: CheckpointState | None) -> CheckpointState:
    assert standing is not None
    assert standing.newest is not None
    return CheckpointState(
        replace(standing.newest, verdict="unknown", digest=None, message="not recognised")
    )


# name: (what was seen, what differs from all passing, a part of a reason)
CASES: Mapping[str, tuple[DrillFacts, dict[str, str], tuple[str, str]]] = {
    "nothing saved": (
        facts(NOTHING, replace(REFERENCE, starts=(start(1, 0, 13, CheckpointState()),), writes=())),
        {
            "sigterm": "fail",
            "resumed": "fail",
            **dict.fromkeys(("valid", "atomic", "position", "result"), "unknown"),
        },
        ("resumed", "each of 2 further starts began anew"),
    ),
    "saves elsewhere": (
        facts(
            replace(NOTHING, blind="it saved elsewhere"),
            replace(REFERENCE, blind="it saved elsewhere"),
        ),
        dict.fromkeys(("sigterm", "valid", "resumed", "position", "result"), "unknown"),
        ("sigterm", "it saved elsewhere"),
    ),
    "killed after the grace": (
        facts(replace(KILLED, writes=GOOD.writes[:5] + GOOD.writes[7:])),
        {"sigterm": "fail"},
        (
            "sigterm",
            "start 2 handles SIGTERM, but saved nothing after it and did not end within the grace of 3 s",
        ),
    ),
    "killed although it had saved": (
        facts(
            replace(
                KILLED,
                writes=writes(
                    (3, 20), (5, 40), (6.2, 50), (12, 60), (14, 80), (16.5, 100), (23, 120)
                ),
            )
        ),
        {"sigterm": "fail"},
        ("sigterm", "start 2 saved 0.50 s after SIGTERM, but did not end within the grace of 3 s"),
    ),
    "ignores SIGTERM": (
        facts(but(KILLED, 2, reach="ignored")),
        {"sigterm": "fail"},
        (
            "sigterm",
            "start 2 did not end within the grace of 3 s after SIGTERM and was killed; it ignores SIGTERM",
        ),
    ),
    "nobody handles SIGTERM": (
        facts(
            but(but(GOOD, 1, reach="nobody"), 2, reach="nobody"), but(REFERENCE, 1, reach="nobody")
        ),
        {"sigterm": "fail"},
        ("sigterm", "no process of it handles SIGTERM: in a container the signal has no effect"),
    ),
    "preempted before it had saved anything": (
        facts(
            replace(
                GOOD,
                starts=(
                    *(
                        preempted(
                            n, 10 * n - 10, CheckpointState(), killed=True, exit_code=137, seconds=9
                        )
                        for n in (1, 2)
                    ),
                    start(3, 20, 13, lying(120)),
                ),
                writes=writes((33, 120)),
            )
        ),
        {"sigterm": "fail", "resumed": "unknown"},
        ("resumed", "no start that was preempted left a checkpoint to go on from"),
    ),
    "exit code 0": (
        facts(
            TrainingRun(
                "drill", "completed", (preempted(1, 0, lying(50), exit_code=0),), GOOD.writes[:3]
            )
        ),
        {
            "finished": "unknown",
            "sigterm": "fail",
            **dict.fromkeys(("resumed", "position", "result"), "unknown"),
        },
        ("sigterm", "with exit code 0: that means finished"),
    ),
    "done within the grace": (
        facts(
            TrainingRun(
                "drill",
                "completed",
                (GOOD.starts[0], preempted(2, 10, lying(120), exit_code=0)),
                writes((3, 20), (5, 40), (6.2, 50), (12, 60), (16.2, 120)),
            )
        ),
        {},
        ("sigterm", "saved and ended by itself 1 of 1 times"),
    ),
    "a shell keeps the signal": (
        facts(but(GOOD, 1, reach="child", first_process="sh")),
        {"sigterm": "fail"},
        ("sigterm", "SIGTERM stops at 'sh'"),
    ),
    "not saved upon the signal": (
        facts(
            replace(
                GOOD,
                writes=GOOD.writes[:2] + GOOD.writes[3:],
                starts=but(GOOD, 1, standing=lying(40)).starts,
            )
        ),
        {"sigterm": "fail"},
        ("sigterm", "without a new checkpoint; the last one was 1.0 s old"),
    ),
    "newest one torn": (
        facts(
            but(
                GOOD,
                1,
                standing=CheckpointState(
                    checkpoint(50, verdict="invalid", message="cut"), checkpoint(40)
                ),
            )
        ),
        {"sigterm": "fail", "valid": "fail"},
        ("valid", "after start 1 step-00000050 was invalid: cut"),
    ),
    "torn by the signal": (
        facts(
            but(
                GOOD,
                1,
                standing=CheckpointState(
                    checkpoint(50, verdict="invalid", message="cut"), checkpoint(40)
                ),
            )
        ),
        {"sigterm": "fail", "valid": "fail"},
        (
            "sigterm",
            "start 1 ended 0.50 s after SIGTERM, but what it saved, step-00000050, was invalid: cut",
        ),
    ),
    "poisoned by the signal": (
        facts(
            but(
                GOOD,
                1,
                standing=CheckpointState(
                    checkpoint(50, verdict="poisoned", message="NaN"), checkpoint(40)
                ),
            )
        ),
        {"sigterm": "fail", "valid": "fail"},
        ("sigterm", "what it saved, step-00000050, was poisoned: NaN"),
    ),
    "an older one torn": (
        facts(
            but(
                GOOD,
                1,
                standing=CheckpointState(
                    checkpoint(90, verdict="invalid", message="cut"), checkpoint(50)
                ),
            )
        ),
        {"valid": "fail"},
        ("sigterm", "saved and ended by itself 2 of 2 times"),
    ),
    "written in place, and does not come back": (
        facts(IN_PLACE, REFERENCE, STRUCK),
        {"atomic": "fail"},
        ("atomic", "it left step-00000040 invalid (cut), and ended with exit code 1"),
    ),
    "written in place, too quick to be hit": (
        facts(
            IN_PLACE,
            REFERENCE,
            replace(RECOVERED, starts=(start(1, 0, 5, lying(40), killed=True),)),
        ),
        {"atomic": "fail"},
        ("atomic", "8 of 14 checkpoints were written in place"),
    ),
    "written in place, but goes on from the one before": (
        facts(IN_PLACE, REFERENCE, RECOVERED),
        {},
        ("atomic", "went on from the one before"),
    ),
    "begins anew": (
        facts(AGAIN),
        {"resumed": "fail", "position": "fail"},
        ("resumed", "start 2 found step-00000050 (step 50) and began again at step 0"),
    ),
    "always the same first step": (
        facts(
            replace(
                AGAIN,
                starts=tuple(replace(s, standing=lying(20)) for s in AGAIN.starts[:2])
                + AGAIN.starts[2:],
                writes=writes((3, 20), (13, 20), (23, 20), (33, 120)),
            )
        ),
        {"sigterm": "fail", "resumed": "fail", "position": "fail"},
        ("resumed", "began again at step 0"),
    ),
    "place in the training forgotten": (
        facts(replace(but(GOOD, 3, standing=lying(220)), writes=GOOD.writes[:-1])),
        {"position": "fail", "result": "fail"},
        (
            "position",
            "resumes its weights but not its place in the training, and repeats 100 steps",
        ),
    ),
    "steps skipped": (
        facts(but(GOOD, 3, standing=lying(110))),
        {"position": "fail", "result": "fail"},
        ("position", "110 steps, 120 without preemptions: it skips some"),
    ),
    "another result": (
        facts(but(GOOD, 3, standing=lying(120, content="other")), REFERENCE, None, REFERENCE),
        {"result": "fail"},
        ("result", "differs from that of an uninterrupted run"),
    ),
    "chance": (
        facts(
            but(GOOD, 3, standing=lying(120, content="other")),
            REFERENCE,
            None,
            replace(REFERENCE, starts=(start(1, 0, 13, lying(120, content="third")),)),
        ),
        {"result": "unknown"},
        ("result", "but so do two uninterrupted runs from each other"),
    ),
    "crashes when it comes back": (
        facts(
            replace(but(GOOD, 3, exit_code=1), ended="failed", log="Traceback\nKeyError: 'epoch'")
        ),
        {"finished": "fail", "position": "unknown", "result": "unknown"},
        (
            "finished",
            "start 3 ended with exit code 1, after 2 preemptions; its last line: KeyError: 'epoch'",
        ),
    ),
    "crashes at once when it comes back": (
        facts(
            replace(
                but(GOOD, 3, exit_code=1),
                ended="failed",
                starts=(GOOD.starts[0], start(2, 10, 1, lying(50), exit_code=1)),
            )
        ),
        {"finished": "fail", **dict.fromkeys(("resumed", "position", "result"), "unknown")},
        ("resumed", "start 2 crashed before it saved a checkpoint"),
    ),
    "took too long": (
        facts(replace(GOOD, ended="limit")),
        dict.fromkeys(("finished", "position", "result"), "unknown"),
        ("finished", "was stopped after 1800 s, 2 of 2 preemptions done"),
    ),
    "ended too early": (
        facts(times=4),
        {"finished": "unknown"},
        ("finished", "ended by itself after 2 of 4 preemptions"),
    ),
    "no step told": (
        facts(
            NO_STEPS,
            replace(REFERENCE, writes=writes((3, None)), starts=(start(1, 0, 13, lying(None)),)),
        ),
        {"resumed": "unknown", "position": "unknown"},
        ("resumed", "checkpoints tell no step"),
    ),
    "nothing proves the bytes": (
        facts(but(GOOD, 2, standing=lying(100, verdict="unverifiable"))),
        {},
        ("valid", "1 of them whole, but without checksums"),
    ),
    "in a format that nobody here can read": (
        facts(
            replace(
                GOOD,
                starts=tuple(replace(one, standing=foreign(one.standing)) for one in GOOD.starts),
            ),
            but(REFERENCE, 1, standing=foreign(lying(120))),
        ),
        {"valid": "unknown", "result": "unknown"},
        ("valid", "step-00000050 could not be read: not recognised"),
    ),
    "preempted while it was importing": (
        facts(
            but(GOOD, 1, reach="nobody", exit_code=143, standing=CheckpointState(), ready_at=None)
        ),
        {},
        ("sigterm", "saved and ended by itself 1 of 1 times"),
    ),
    "directory made anew at a start": (
        facts(replace(GOOD, writes=())),
        {"sigterm": "unknown", "resumed": "unknown"},
        ("sigterm", "but no write of them was seen"),
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_every_fault_fails_the_checks_that_it_concerns_and_no_other(case: str) -> None:
    seen, differences, (name, words) = CASES[case]
    assert verdicts(seen) == {**ALL_PASS, **differences}
    assert words in reasons(seen)[name]


@pytest.mark.parametrize("case", CASES)
def test_whatever_does_not_pass_says_what_to_do(case: str) -> None:
    for check in judge(CASES[case][0]).checks:
        assert check.reason
        assert check.verdict != "fail" or check.advice


def test_exit_code_tells_failed_from_undecided() -> None:
    assert judge(CASES["begins anew"][0]).exit_code == 1
    assert judge(CASES["took too long"][0]).exit_code == 3
    assert judge(CASES["nothing saved"][0]).exit_code == 1, (
        "a failure counts more than what is not known"
    )


def test_one_reference_is_taken_at_its_word() -> None:
    seen = facts(but(GOOD, 3, standing=lying(120, content="other")), references=1)
    assert verdicts(seen)["result"] == "fail"


def test_metrics_that_differ_are_told() -> None:
    mine, other = (
        CheckpointState(
            best=replace(checkpoint(120, content=content), metrics={"loss": loss, "accuracy": 0.9})
        )
        for content, loss in (("mine", 0.5), ("other", 0.25))
    )
    seen = facts(but(GOOD, 3, standing=mine), but(REFERENCE, 1, standing=other))
    assert reasons(seen)["result"].endswith("an uninterrupted run: loss 0.5 instead of 0.25")


def test_pace_is_that_of_the_uninterrupted_run() -> None:
    assert facts().pace == 10
    assert facts(reference=replace(REFERENCE, writes=writes((13, 120)))).pace == 10, (
        "one checkpoint: from its start"
    )
    assert facts(reference=replace(REFERENCE, writes=())).pace is None


@pytest.mark.parametrize(
    ("run", "seconds", "steps"),
    [
        pytest.param(GOOD, [0, 0], [0, 0], id="saved upon the signal"),
        pytest.param(AGAIN, [5, 5], [50, 50], id="begins anew"),
        pytest.param(NOTHING, [5, 5], [50, 50], id="never saved: all since it was ready"),
        pytest.param(
            but(replace(GOOD, writes=GOOD.writes[:2] + GOOD.writes[3:]), 1, standing=lying(40)),
            [1, 0],
            [10, 0],
            id="the last one was a second old",
        ),
        pytest.param(
            but(GOOD, 1, killed=True, ended_at=9.2, standing=lying(50)),
            [3, 0],
            [30, 0],
            id="killed: what it did in the grace is lost, too",
        ),
    ],
)
def test_work_lost_is_what_was_done_since_the_checkpoint_it_goes_on_from(
    run: TrainingRun, seconds: list[float], steps: list[int]
) -> None:
    found = losses(facts(run))
    assert [loss.seconds for loss in found] == pytest.approx(seconds)
    assert [loss.steps for loss in found] == steps


def test_cost_is_the_mean_overhead_times_the_rate() -> None:
    seen = facts(rate=24)
    found = losses(seen)
    assert [(loss.stop_seconds, loss.start_seconds) for loss in found] == [(0.5, 1), (0.5, 1)]
    price = cost(seen, found)
    assert price is not None
    assert (price.overhead, price.seconds_per_day) == (1.5, 36)
    assert price.share == pytest.approx(36 / 86400)


def test_a_training_that_begins_anew_has_no_price_but_its_whole_work() -> None:
    assert judge(facts(AGAIN)).cost is None
    assert judge(facts(NOTHING)).cost is None
    assert judge(facts()).cost is not None
    behind = writes(
        (3, 20), (5, 40), (6.2, 50), (12, 40), (14, 60), (16, 100), (16.1, 100), (23, 120)
    )
    assert judge(facts(replace(GOOD, writes=behind))).cost is not None, (
        "who falls behind loses a bounded part"
    )
    assert judge(facts(replace(NOTHING, blind="it saved elsewhere"))).cost is None
    assert judge(facts(NO_STEPS)).cost is not None


def test_time_to_stop_is_not_counted_twice_where_it_is_lost_work() -> None:
    (killed, _) = losses(facts(but(GOOD, 1, killed=True, ended_at=9.2)))
    assert (killed.seconds, killed.stop_seconds, killed.overhead) == pytest.approx((3, 3.2, 3 + 1))


def test_cost_is_never_more_than_the_whole_day_and_unknown_without_preemption() -> None:
    seen = facts(AGAIN, rate=1e6)
    price = cost(seen, losses(seen))
    assert price is not None
    assert price.share == 1
    none: Any = facts(replace(REFERENCE, kind="drill"))
    assert losses(none) == ()
    assert cost(none, ()) is None


def test_what_a_training_lost_is_not_guessed_where_its_checkpoints_cannot_be_read() -> None:
    assert losses(facts(replace(NOTHING, blind="it saved progress.txt"))) == ()


def test_a_preemption_after_which_it_crashes_has_no_price() -> None:
    crashed = replace(but(GOOD, 3, exit_code=1), ended="failed")
    assert [loss.number for loss in losses(facts(crashed))] == [1]
