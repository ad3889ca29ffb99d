"""A namespace that is deleted takes all that is in it along, and nothing new meanwhile."""

from __future__ import annotations

from tests.model.conftest import JOB_PATH, POD_PATH, Stage, job
from tests.model.kubelet import Life

GRACE = 4.0


def test_a_namespace_goes_when_its_last_pod_has_gone(stage: Stage) -> None:
    stage.submit("lasts", Life(run=1e6, on_sigterm=None))
    stage.submit("elsewhere", Life(run=1e6), team="team-a")
    stage.clock.advance(5.0)
    stage.cluster.namespaces.delete("team-b")
    stage.clock.advance(GRACE / 2)
    assert stage.cluster.job("team-b", "lasts") is None
    left = stage.ask("GET", POD_PATH.format("team-b"))["items"]
    assert ["deletionTimestamp" in pod["metadata"] for pod in left] == [True]
    assert _create(stage) == (403, "Forbidden")
    stage.clock.advance(GRACE)
    assert stage.ask("GET", POD_PATH.format("team-b"))["items"] == []
    assert _create(stage) == (404, "NotFound")
    assert len(stage.pods("elsewhere")) == 1
    stage.cluster.add_namespace("team-b")
    assert _create(stage) == (201, "")


def _create(stage: Stage) -> tuple[int, str]:
    answer = stage.answer("POST", JOB_PATH.format("team-b"), job("new", "team-b", 1))
    assert isinstance(answer.body, dict)
    return answer.status, answer.body.get("reason", "")
