"""KAI on the model evicts, explains and forgets as the real one was seen to."""

from __future__ import annotations

import pytest

from tests.model.clock import moment
from tests.model.conftest import Stage
from tests.model.kubelet import Life
from tests.model.resources import EVENTS, PODGROUPS, Object
from tests.rig.kai.correlator import BURST

FOREVER = Life(run=1e6)


def evictions(stage: Stage) -> list[Object]:
    return [one for one in stage.cluster.store.all(EVENTS) if one["reason"] == "Evict"]


def test_what_is_over_quota_is_reclaimed_and_comes_back(stage: Stage) -> None:
    stage.submit("borrower", FOREVER, gpus=2)
    stage.clock.advance(5.0)
    stream = stage.watch("/api/v1/namespaces/team-b/pods")
    stage.submit("owner", Life(run=20.0), team="team-a")
    stage.clock.advance(2.0)
    (event,) = evictions(stage)
    assert event["metadata"]["annotations"]["evictor-action-type"] == "reclaim"
    assert event["involvedObject"]["kind"] == "PodGroup"
    stage.clock.advance(6.0)
    lines = [line for line in stream.lines if line["type"] != "BOOKMARK"]
    gone = [one["object"]["metadata"].get("deletionTimestamp") for one in lines]
    first = next(one for one in gone if one)
    assert moment(first) == pytest.approx(moment(gone[-1] or ""), abs=5)
    assert lines[-1]["type"] == "DELETED" or lines[-1]["type"] == "ADDED"
    stage.clock.advance(60.0)
    (pod,) = stage.pods("borrower")
    assert pod["status"]["phase"] == "Running", "it resumes when the owner has ended"
    assert len(list(stage.cluster.store.all(PODGROUPS))) == 3, "one for each pod"


def test_the_condition_is_there_if_the_flag_is(stage: Stage) -> None:
    stage.cluster.kai.eviction_condition = True
    stage.submit("borrower", FOREVER, gpus=2)
    stage.clock.advance(5.0)
    stream = stage.watch("/api/v1/namespaces/team-b/pods")
    stage.submit("owner", team="team-a")
    stage.clock.advance(2.0)
    first = stream.lines[0]["object"]
    (told,) = (one for one in first["status"]["conditions"] if one["type"] == "DisruptionTarget")
    assert told["reason"] == "PreemptionByScheduler"
    assert "deletionTimestamp" not in first["metadata"]


def test_a_training_that_queued_long_loses_its_evict_event(stage: Stage) -> None:
    stage.submit("before", Life(run=BURST + 10.0), team="team-a", gpus=2)
    stage.clock.advance(3.0)
    stage.submit("borrower", Life(run=1e6, on_sigterm=(3.0, 143)), gpus=2)
    stage.clock.advance(BURST + 15.0)
    assert stage.pods("borrower")[0]["status"]["phase"] == "Running"
    stage.submit("owner", team="team-a")
    stage.clock.advance(3.0)
    assert "deletionTimestamp" in stage.pods("borrower")[0]["metadata"]
    assert evictions(stage) == []


def test_why_a_training_waits_is_told(stage: Stage) -> None:
    stage.submit("lost", team="team-b", gpus=3)
    stage.clock.advance(3.0)
    (pod,) = stage.pods("lost")
    (told,) = (one for one in pod["status"]["conditions"] if one["type"] == "PodScheduled")
    assert told["status"] == "False"
    assert "GPU" in told["message"]


def test_a_lost_node_takes_its_pods_with_it(stage: Stage) -> None:
    stage.submit("unlucky", FOREVER)
    stage.clock.advance(5.0)
    stage.cluster.lose_node("node-0")
    (pod,) = stage.pods("unlucky")
    told = [
        one["reason"] for one in pod["status"]["conditions"] if one["type"] == "DisruptionTarget"
    ]
    assert told == ["DeletionByTaintManager"]
    stage.clock.advance(20.0)
    stage.cluster.add_node("node-1", 2)
    stage.clock.advance(20.0)
    (pod,) = stage.pods("unlucky")
    assert (pod["spec"]["nodeName"], pod["status"]["phase"]) == ("node-1", "Running")


def test_a_training_that_waits_long_costs_nothing(stage: Stage) -> None:
    stage.submit("before", FOREVER, team="team-a", gpus=2)
    stage.clock.advance(3.0)
    stage.submit("patient", gpus=2)
    stage.clock.advance(200.0)
    version = stage.cluster.store.version
    stage.clock.advance(9e5)
    assert stage.cluster.store.version == version
