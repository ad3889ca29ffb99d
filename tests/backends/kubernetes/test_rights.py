"""Missing rights on the model of Kubernetes: who is stopped, who is told what, and who sees again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from airflow_runai.backends.kubernetes.api import rights
from airflow_runai.backends.kubernetes.api.paths import NODES, PODS, QUEUES
from airflow_runai.backends.kubernetes.api.refusals import Sight
from airflow_runai.backends.kubernetes.api.rights import Right
from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.kubernetes.trainings.listed_trainings import list_trainings
from airflow_runai.core.flow import Flow
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.task_purpose import TaskPurpose
from airflow_runai.errors import Forbidden, RightMissing
from tests.contract.model import ModelRig
from tests.contract.rig import Script, name_of
from tests.contract.waits import outcome_of, submit

pytestmark = pytest.mark.slow
VOLUME = {"storage": {"pvc": [{"path": "/data", "existing": False, "size": "1G"}]}}
GANG = {"distributed": {"framework": "PyTorch", "workers": 1}}


@pytest.fixture
def rig() -> ModelRig:
    return ModelRig()


def purpose(spec: Mapping[str, Any] = {}, **given: Any) -> TaskPurpose:
    return TaskPurpose(WorkloadSpec.from_mapping({"image": "train:1", **spec}), **given)


def lacking(rig: ModelRig, task: TaskPurpose | None = None) -> str:
    """Return what a task is told."""
    return str(rig.run(rig.backend.lacking_rights(rig.place(), task)))


@pytest.mark.parametrize(
    ("verb", "plural", "without", "user"),
    [
        ("create", "jobs", purpose(GANG), purpose()),
        ("patch", "jobs", purpose(GANG), purpose()),
        ("create", "jobsets", purpose(), purpose(GANG)),
        ("create", "persistentvolumeclaims", purpose(), purpose(VOLUME)),
        ("get", "priorityclasses", purpose(), purpose({"priority": "train"})),
        ("list", "nodes", purpose(), purpose(looks_for_room=True)),
        ("list", "queues", purpose(), purpose(looks_for_room=True)),
        ("list", "events", purpose(awaited=False), purpose()),
        ("watch", "pods", purpose(awaited=False), purpose(deferred=False)),
        ("watch", "pods", purpose(awaited=False), purpose()),
        ("watch", "jobs", purpose(deferred=False), purpose()),
        ("watch", "jobs", purpose(awaited=False), purpose()),
    ],
)
def test_only_who_makes_use_of_a_right_is_told_that_it_is_missing(
    rig: ModelRig, verb: str, plural: str, without: TaskPurpose, user: TaskPurpose
) -> None:
    rig.cluster.server.forbidden.add((verb, plural))
    assert lacking(rig, without) == ""
    try:
        words = lacking(rig, user)
    except RightMissing as error:
        words = str(error)
    assert f"lacks rights in namespace 'team-a': {verb} {plural}" in words
    assert f"{verb} {plural}" in lacking(rig)


@pytest.mark.parametrize("verb", ["get", "list", "create"])
def test_what_could_not_be_submitted_fails_with_that_alone(rig: ModelRig, verb: str) -> None:
    rig.cluster.server.forbidden |= {(verb, "jobs"), ("list", "pods")}
    began = rig.clock.now()
    with pytest.raises(RightMissing) as refused:
        lacking(rig, purpose())
    assert str(refused.value) == (
        f"the connection's identity lacks rights in namespace 'team-a': {verb} jobs of API group "
        f"batch (nothing is submitted{'' if verb == 'list' else ' or waited for'}); allow these "
        "verbs in a Role, and bind it to the identity"
    )
    assert 30.0 <= rig.clock.now() - began < 40.0


def test_a_server_that_has_just_started_stops_nobody(rig: ModelRig) -> None:
    forbidden = rig.cluster.server.forbidden
    forbidden.add(("*", "jobs"))
    rig.after(20, forbidden.clear)
    assert lacking(rig, purpose()) == ""


def test_of_the_triggerers_own_account_a_worker_says_nothing(rig: ModelRig) -> None:
    rig.cluster.server.forbidden |= {("watch", "jobs"), ("watch", "pods")}
    settings = ClusterSettings("model", in_cluster=True)
    rig.backend = KubernetesBackend(settings)
    assert lacking(rig, purpose()) == ""
    rig.backend = KubernetesBackend(replace(settings, in_cluster=False))
    assert "watch jobs of API group batch" in lacking(rig, purpose())


@pytest.mark.parametrize(
    ("kinds", "advice"),
    [
        ((PODS,), "in a Role, and"),
        ((NODES,), "in a ClusterRole, and"),
        ((PODS, QUEUES), "in a Role and a ClusterRole, and"),
    ],
)
def test_the_advice_names_the_role_that_it_takes(kinds: Any, advice: str) -> None:
    found = [Right(kind, ("list",), in_cluster=kind is not PODS) for kind in kinds]
    words = rights.sentence("team-a", found)
    assert words.count("in the whole cluster") == len(kinds) - (PODS in kinds)
    assert f"allow these verbs {advice} bind it" in words


class Door:
    """Refuses, or lets through, and counts who has knocked."""

    def __init__(self) -> None:
        self.is_open, self.knocks = False, 0

    def enter(self) -> Flow[None]:
        yield from ()
        self.knocks += 1
        if not self.is_open:
            raise Forbidden("no", 403)


def test_a_refusal_is_doubted_after_ten_minutes_and_where_it_was_made(rig: ModelRig) -> None:
    sight, door = Sight(), Door()

    def attempt(namespace: str) -> Forbidden | None:
        return rig.run(sight.attempt(namespace, "Pod", door.enter))

    assert attempt("team-a") is not None
    rig.pass_time(599)
    assert (attempt("team-a") is not None, door.knocks) == (True, 1)
    assert (attempt("team-b") is not None, door.knocks) == (True, 2)
    door.is_open = True
    rig.pass_time(2)
    assert (attempt("team-a"), door.knocks) == (None, 3)
    assert (attempt("team-a"), door.knocks) == (None, 4)


def test_a_wait_sees_again_what_somebody_has_allowed(rig: ModelRig) -> None:
    rig.play(Script(seconds=2000))
    made = submit(rig)
    rig.hide()
    rig.after(100, rig.cluster.server.forbidden.clear)
    rig.after(1000, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.preemptions) == ("succeeded", 1)
    assert len([one for one in rig.told if "pods cannot be listed" in one.text]) == 1


def test_who_may_see_one_namespace_only_sees_it_in_full(rig: ModelRig) -> None:
    rig.play(Script(seconds=None))
    submit(rig)
    rig.pass_time(20)
    sight, door = Sight(), Door()
    rig.run(sight.attempt("team-b", "Pod", door.enter))
    served = rig.run(rig.backend._cluster.discovery())
    (training,) = rig.run(list_trainings(served, sight, "team-a"))
    assert training.reading.workload("model").phase == "Running"
    assert [life.node for life in training.reading.lives] == ["node-0"]
