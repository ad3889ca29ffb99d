"""What people see, and what newer servers say."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pytest

from airflow_runai.core.flow import Flow, now
from airflow_runai.core.incarnations import nodes_of
from airflow_runai.core.usage import runs
from airflow_runai.errors import ForeignWorkload
from tests.contract.rig import Rig, Script, name_of
from tests.contract.waits import outcome_of, submit

#: What no text may show.
TOKEN = "hf-0123456789abcdefghij"


@pytest.mark.needs("reasons")
def test_timeline_has_incarnations_with_node_and_words(rig: Rig) -> None:
    made = submit(rig)
    rig.after(30, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert any(rig.words["preempted"] in moment.message for moment in outcome.timeline)
    lives = runs(outcome.timeline, outcome.ended_at)
    assert len(lives) == 2
    nodes = nodes_of(rig.run(rig.backend.pods(outcome.workload(), gone=True)), lives)
    assert len(nodes) == 2
    assert all(nodes)


@pytest.mark.needs("fields")
def test_share_of_gpu_is_carried(rig: Rig) -> None:
    """To where the scheduler reads it; whether it finds room is no matter of ours."""
    compute = {"gpu_devices": 1, "gpu_portion": 0.5}
    made = submit(rig, compute=compute)
    spec = rig.run(rig.backend.get_spec(made))
    assert spec["compute"]["gpuPortionRequest"] == 0.5
    assert rig.words["share"] in rig.stored(name_of())


@pytest.mark.needs("phases of tomorrow")
def test_unknown_phase_or_condition_is_not_final(rig: Rig) -> None:
    rig.be_newer()
    assert outcome_of(rig, submit(rig)).status == "succeeded"


@pytest.mark.needs("phases of tomorrow")
def test_newer_server_fields_survive(rig: Rig) -> None:
    rig.be_newer()
    made = submit(rig)
    rig.pass_time(20)
    found = rig.run(rig.backend.reader(made).read(made.id))
    assert (found.id, found.name, found.project_id) == (made.id, name_of(), rig.place().id)
    assert submit(rig).id == made.id


@pytest.mark.needs("logs")
def test_last_log_lines_in_failure(rig: Rig) -> None:
    rig.play(Script(seconds=20, exit_code=3))
    outcome = outcome_of(rig, submit(rig, backoff_limit=0))
    life, *_ = runs(outcome.timeline, outcome.ended_at)  # a late look lets another one begin
    part = rig.run(rig.backend.log(outcome.workload()).look(life.start))
    assert (outcome.status, part.lines[-1], bool(part.node)) == ("failed", "step 20", True)


@pytest.mark.needs("logs")
def test_logs_follow_over_preemption_no_gap_no_double(rig: Rig) -> None:
    made = submit(rig)
    rig.after(40, lambda: rig.reclaim(name_of()))
    heard: list[str] = []

    def take(lines: Sequence[str]) -> Flow[None]:
        heard.extend(lines)
        yield from ()

    assert rig.listen(rig.backend.log(made).follow(take))
    lives = [number for number, line in enumerate(heard) if line.startswith("life ")]
    steps = [line for line in heard if line.startswith("step ")]
    assert (len(lives), lives[0], len(heard)) == (2, 0, 2 + len(steps))
    assert steps == [f"step {number}" for number in range(1, 101)]


@pytest.mark.needs("logs")
def test_logs_of_one_incarnation_and_since_cursor(rig: Rig) -> None:
    rig.play(Script(seconds=50, exits={1: (30, 1)}))  # a look shows 100 lines
    made = submit(rig, backoff_limit=1)
    rig.pass_time(10)
    log, moment = rig.backend.log(made), rig.run(now())
    before = rig.run(log.look(moment))
    rig.pass_time(10)
    after = rig.run(log.look(moment, before.place))
    heard = [*before.lines, *after.lines]
    assert before.lines
    assert after.lines
    assert heard == ["life 1", *(f"step {number}" for number in range(1, len(heard)))]
    outcome = outcome_of(rig, made)
    first, second = runs(outcome.timeline, outcome.ended_at)
    for number, life in enumerate((first, second), 1):
        lines = rig.run(log.look(life.start)).lines
        assert [line for line in lines if line.startswith("life ")] == [f"life {number}"]


def test_no_secret_in_any_text_or_object(rig: Rig) -> None:
    """What a container is given, its container alone has."""
    rig.play(Script(seconds=100, exit_code=3))
    made = submit(rig, environment={"HUB_TOKEN": TOKEN}, backoff_limit=0)
    rig.after(30, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    with pytest.raises(ForeignWorkload) as refused:
        submit(rig, environment={"HUB_TOKEN": f"{TOKEN}-2"}, backoff_limit=0)
    reasons = rig.run(rig.backend.explain(outcome.workload()))
    texts = [json.dumps(outcome.to_event()), repr(rig.told), str(refused.value), repr(reasons)]
    texts.append(rig.stored(name_of()))
    if "logs" in rig.knows:
        (*_, life) = runs(outcome.timeline, outcome.ended_at)
        texts.append(repr(rig.run(rig.backend.log(outcome.workload()).look(life.start))))
        assert "life " in texts[-1]
    assert all(texts)
    assert [text for text in texts if TOKEN in text] == []
