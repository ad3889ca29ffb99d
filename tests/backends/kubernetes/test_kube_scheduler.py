"""Trainings that Kubernetes' own scheduler takes away between two looks: only its event says so."""

from __future__ import annotations

import pytest

from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from tests.contract.model import TERMS, ModelRig
from tests.contract.rig import Script, name_of
from tests.contract.waits import look, outcome_of, submit
from tests.model.events import Recorder
from tests.model.faults import Fault, broken
from tests.model.resources import PODS, Object
from tests.model.store import Change

pytestmark = pytest.mark.slow


class PlainModelRig(ModelRig):
    """The model with a scheduler that puts each pod on its only node."""

    def __init__(self) -> None:
        super().__init__()
        settings = ClusterSettings("model", dialect="plain", terms=TERMS)
        self.backend = KubernetesBackend(settings)
        self.cluster.server.lacks = {"scheduling.run.ai"}
        self._words = Recorder(self.cluster.store, "default-scheduler")
        self.cluster.store.listen(self._place)

    def _place(self, change: Change) -> None:
        pod = change.new
        if change.resource == PODS and change.old is None and pod is not None:
            self.clock.after(0.5, lambda: self.cluster.store.change(PODS, pod, _bind))

    def preempt(self, *, is_told: bool = True) -> None:
        """Take the pod away, and maybe say so."""
        (pod,) = self._pods(name_of())
        self.cluster.deletion.delete(PODS, pod)
        if is_told:
            self._words.tell(pod, "Normal", "Preempted", "Preempted by pod 0123 on node node-0")


def _bind(pod: Object) -> None:
    pod["spec"]["nodeName"] = "node-0"


@pytest.mark.parametrize(("is_told", "preemptions"), [(True, 1), (False, 0)])
def test_who_polls_asks_the_scheduler_about_a_pod_that_vanished(
    is_told: bool, preemptions: int
) -> None:
    rig = PlainModelRig()
    made = submit(rig)
    rig.after(20, lambda: rig.preempt(is_told=is_told))
    rig.after(29, rig.cluster.store.forget)  # or the changes would show the pod's end
    outcome = outcome_of(rig, made)
    counted = outcome.clocks.interruptions, outcome.clocks.preemptions
    assert (outcome.status, counted) == ("succeeded", (1, preemptions))


def test_who_comes_late_asks_the_scheduler_about_a_pod_that_its_history_keeps() -> None:
    rig = PlainModelRig()
    made = submit(rig)
    rig.pass_time(20)
    look(rig, made)
    rig.preempt()
    rig.pass_time(40)
    outcome = outcome_of(rig, made)
    counted = outcome.clocks.interruptions, outcome.clocks.preemptions
    assert (outcome.status, counted) == ("succeeded", (1, 1))
    assert any("Preempted by pod 0123" in moment.message for moment in outcome.timeline)


@pytest.mark.parametrize(("is_told", "status"), [(True, "failed"), (False, "succeeded")])
def test_who_comes_late_asks_whether_a_success_was_taken_away(is_told: bool, status: str) -> None:
    rig = PlainModelRig()
    rig.play(Script(stop_exit_code=0))
    made = submit(rig)
    rig.pass_time(20)
    rig.preempt(is_told=is_told)
    rig.pass_time(40)
    asked = len(rig.wire.spoken)
    outcome = outcome_of(rig, made)
    assert outcome.status == status
    assert ("before anybody saw it end" in outcome.reason) is is_told
    questions = [line for line in rig.wire.spoken[asked:] if "/events?" in line]
    assert len(questions) == 1, "KAI is not installed, so it is not asked about its events"


def test_a_question_that_got_no_answer_is_asked_again() -> None:
    rig = PlainModelRig()
    rig.play(Script(stop_exit_code=0))
    made = submit(rig)
    rig.pass_time(20)
    rig.preempt()
    rig.pass_time(40)
    rig.wire.faults.append(Fault(broken, "GET", path="/events"))
    assert outcome_of(rig, made).status == "failed"
    assert not rig.wire.faults
