"""What ends a wait because it takes too long, and the reasons that people are told."""

from __future__ import annotations

from dataclasses import replace

import pytest

from airflow_runai.backends.submission import create_or_adopt
from airflow_runai.backends.termination import stop
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.timeouts import Timeouts
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotResolved
from tests.contract.rig import MakeRig, Rig, Script, name_of, order
from tests.contract.waits import off, outcome_of, submit


def stopped(rig: Rig, workload: Workload) -> bool:
    """End a workload as a task does whose wait has timed out."""
    words = rig.run(stop(rig.backend, workload, "stop"))
    return words is not None and not rig.lives(workload.name)


def test_queue_limit_times_out_and_stops(rig: Rig) -> None:
    rig.play(Script(seconds=None))
    rig.rival(2)
    submit(rig, "train-1-g1", compute={"gpu_devices": 2}, preemptibility="non-preemptible")
    late = submit(rig, compute={"gpu_devices": 2})
    outcome = outcome_of(rig, late, queue=300.0)
    assert outcome.status == "timed_out"
    assert "queue" in outcome.reason
    assert stopped(rig, late)


def test_running_limit_times_out_and_stops(rig: Rig) -> None:
    rig.play(Script(seconds=None))
    made = submit(rig)
    outcome = outcome_of(rig, made, running=300.0)
    assert (outcome.status, "running" in outcome.reason) == ("timed_out", True)
    assert off(rig, outcome.clocks.running, 300, 20) == 0
    assert stopped(rig, made)


def test_total_limit_ends_even_unreachable(rig: Rig) -> None:
    """The deadline of a wait ends it while nothing can be read."""
    rig.play(Script(seconds=None))
    made = submit(rig)
    rig.pass_time(30)
    began = rig.run(rig.backend.reader(made).read(made.id)).created_at
    rig.outage(100_000)
    policy = WaitPolicy(15.0, Timeouts(), deadline=began + 900)
    outcome = outcome_of(rig, made, policy)
    assert outcome.status == "timed_out"


def test_interruption_limit_times_out(rig: Rig) -> None:
    made = submit(rig)
    rig.after(20, lambda: rig.person(rig.backend.suspend(made)))
    outcome = outcome_of(rig, made, interruption=300.0)
    assert (outcome.status, "interruption" in outcome.reason) == ("timed_out", True)


@pytest.mark.needs("image")
def test_starting_limit_is_stalled(make_rig: MakeRig) -> None:
    rig = make_rig(images=("good:*",))
    outcome = outcome_of(rig, submit(rig, image="bad:1"), starting=300.0)
    assert outcome.status == "stalled"


@pytest.mark.needs("image", "reasons")
def test_image_error_names_image(make_rig: MakeRig) -> None:
    rig = make_rig(images=("good:*",))
    made = submit(rig, image="bad:1")
    rig.pass_time(120)
    now = rig.run(rig.backend.reader(made).read(made.id))
    assert any("bad:1" in reason.sentence for reason in rig.run(rig.backend.explain(now)))


@pytest.mark.needs("memory")
def test_out_of_memory_is_named(make_rig: MakeRig) -> None:
    rig = make_rig(memory_seconds=30)
    outcome = outcome_of(rig, submit(rig, backoff_limit=0))
    assert outcome.status == "failed"
    assert "OOMKilled" in outcome.reason


@pytest.mark.needs("secret", "reasons")
def test_missing_secret_or_config_map_is_named(make_rig: MakeRig) -> None:
    rig = make_rig(secrets=())
    made = submit(rig, environment={"TOKEN": {"secret": {"name": "hub", "key": "token"}}})
    rig.pass_time(120)
    now = rig.run(rig.backend.reader(made).read(made.id))
    assert any("hub" in reason.sentence for reason in rig.run(rig.backend.explain(now)))


@pytest.mark.needs("reasons")
def test_non_preemptible_over_quota_is_told(rig: Rig) -> None:
    made = submit(rig, compute={"gpu_devices": 3}, preemptibility="non-preemptible")
    rig.pass_time(60)
    now = rig.run(rig.backend.reader(made).read(made.id))
    (reason, *_) = rig.run(rig.backend.explain(now))
    assert "quota" in reason.sentence
    assert rig.names() == [name_of()]


@pytest.mark.needs("queues")
def test_queue_does_not_exist_is_told(rig: Rig) -> None:
    """The server takes it, and no pod ever starts."""
    where = replace(rig.place(), name="nobody")
    with pytest.raises(NotResolved, match="project: 'nobody'"):
        rig.run(create_or_adopt(rig.backend, where, order(rig)))
    with pytest.raises(NotResolved, match="priority: 'urgent'"):
        submit(rig, priority="urgent")
    assert rig.names() == []
