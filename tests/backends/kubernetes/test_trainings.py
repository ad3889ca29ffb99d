"""Trainings on the model of Kubernetes: what no other platform has, and the contract does not ask for."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from airflow_runai.backends.kubernetes.api.paths import Discovery, discover
from airflow_runai.backends.kubernetes.api.refusals import Sight
from airflow_runai.backends.kubernetes.known_cluster import KnownCluster
from airflow_runai.backends.kubernetes.platform import KubernetesBackend
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.backends.kubernetes.trainings.creation import create, require
from airflow_runai.backends.kubernetes.trainings.reader import TrainingReader
from airflow_runai.backends.termination import present
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.kubernetes.job_facts import HISTORY
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.manifests import Manifests, Precondition
from airflow_runai.core.manifests.dialects import Registry
from airflow_runai.core.marks import Mark
from airflow_runai.core.naming import TaskIdentity, base_name, generation_name
from airflow_runai.core.note import Note
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.project import Project
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.workload import Workload
from airflow_runai.errors import ForeignWorkload, NotResolved, QuotaExceeded, StillWriting
from tests.contract.model import TERMS, ModelRig
from tests.contract.rig import Script, name_of, order
from tests.contract.waits import look, outcome_of, submit
from tests.model.conftest import job
from tests.model.resources import CLAIMS, JOBS, Object
from tests.model.store import Change

pytestmark = pytest.mark.slow

GANG = {"framework": "PyTorch", "workers": 2}
TASK = TaskIdentity("prod", "train_daily", "manual__1", "fit", 3)
MADE_BY = {
    "AIRFLOW_CTX_DAG_ID": TASK.dag_id,
    "AIRFLOW_CTX_TASK_ID": TASK.task_id,
    "AIRFLOW_CTX_DAG_RUN_ID": TASK.run_id,
}


@pytest.fixture
def rig() -> ModelRig:
    return ModelRig()


def stored(rig: ModelRig, name: str = "") -> Object:
    return rig.cluster.store.get(JOBS, "team-a", name or name_of())


def annotate(rig: ModelRig, edit: dict[str, str]) -> None:
    """Edit annotations by hand."""
    found = stored(rig)
    rig.cluster.store.change(JOBS, found, lambda one: one["metadata"]["annotations"].update(edit))


def submit_for_task(rig: ModelRig, **spec: Any) -> Workload:
    wanted = WorkloadSpec.from_mapping({"image": "train:1", "environment": MADE_BY, **spec})
    name = generation_name(base_name(TASK, "train"), 1)
    request = SubmissionRequest(name, wanted, 2, Mark(TASK.map_index, "stop"))
    made: Workload = rig.run(rig.backend.create(rig.place(), request))
    return made


def test_a_failure_says_its_exit_code_and_ends_the_job_that_would_go_on(rig: ModelRig) -> None:
    rig.play(Script(seconds=10, exit_code=7))
    made = submit(rig, backoff_limit=1)
    assert stored(rig)["spec"]["backoffLimit"] == 21
    outcome = outcome_of(rig, made)
    assert outcome.reason.startswith("failed with exit code 7 (Error)")
    assert stored(rig)["spec"]["backoffLimit"] == 0
    assert stored(rig)["status"]["failed"] == 2


def test_evictions_never_use_the_budget_up_however_many_there_are(rig: ModelRig) -> None:
    """Without words each counts as a failure for Kubernetes: the limit moves on with them."""
    rig.play(Script(seconds=None))
    made = submit(rig, backoff_limit=2)
    rig.cluster.kai.is_mute = True
    outcome: Outcome | None = None
    for _ in range(25):
        deadline = rig.clock.now() + 1200
        outcome = outcome_of(rig, made, WaitPolicy(120.0, deadline=deadline))
        assert outcome.status == "timed_out"
        rig.reclaim(name_of())
    assert outcome is not None
    assert outcome.clocks.interruptions == 24
    assert stored(rig)["status"]["failed"] == 24
    assert stored(rig)["spec"]["backoffLimit"] > 24


def test_the_history_outlives_those_who_watch_and_is_not_written_without_news(
    rig: ModelRig,
) -> None:
    made = submit(rig)
    rig.pass_time(20)
    look(rig, made)
    written = stored(rig)["metadata"]["resourceVersion"]
    (life,) = json.loads(stored(rig)["metadata"]["annotations"][HISTORY])["lives"]
    assert (life["node"], "ended" in life) == ("node-0", False)
    for _ in range(3):
        look(rig, made)
    assert stored(rig)["metadata"]["resourceVersion"] == written


def test_a_history_that_somebody_has_edited_harms_nothing(rig: ModelRig) -> None:
    made = submit(rig)
    rig.pass_time(20)
    for text in ("", "[1", '{"lives": [{"uid": 3}]}', "x" * 70_000):
        annotate(rig, {HISTORY: text})
        assert look(rig, made).phase == "Running"


def test_a_failure_of_which_the_history_keeps_the_number_counts_once(rig: ModelRig) -> None:
    rig.play(Script(seconds=None, exits={1: (5, 7)}))
    made = submit(rig, backoff_limit=1)
    rig.pass_time(10)
    earlier = {"until": rig.clock.now(), "interruptions": 0, "preemptions": 0, "failures": 1}
    annotate(rig, {HISTORY: json.dumps({"lives": [], "earlier": earlier})})
    rig.pass_time(60)
    assert look(rig, made).phase == "Running"


def test_who_may_not_write_waits_all_the_same_and_is_told_once(rig: ModelRig) -> None:
    made = submit(rig)
    rig.forbid("PATCH")
    rig.after(60, lambda: rig.reclaim(name_of()))
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.clocks.preemptions) == ("succeeded", 1)
    assert len([one for one in rig.told if "cannot be patched" in one.text]) == 1


def test_only_the_cluster_that_had_it_proves_a_deletion(rig: ModelRig) -> None:
    made = replace(submit(rig), cluster_id="elsewhere")
    rig.person(rig.backend.delete(made))
    rig.pass_time(60)
    outcome = outcome_of(rig, made)
    assert (outcome.status, outcome.absent) == ("gone", True)


def test_a_job_of_our_name_that_somebody_else_made_is_told_and_left_alone(rig: ModelRig) -> None:
    theirs = job(name_of(), "team-a", 1)
    theirs["metadata"] |= {"namespace": "team-a", "labels": {}}
    rig.cluster.store.create(JOBS, theirs)
    with pytest.raises(ForeignWorkload, match="running with 'training', now 'train:1'"):
        submit(rig)
    assert "backoffLimit" not in stored(rig)["spec"]


def test_a_training_has_not_failed_while_its_job_may_make_another_pod(rig: ModelRig) -> None:
    rig.forbid("PATCH")
    rig.play(Script(exits={1: (5.0, 3)}))
    made = submit(rig, backoff_limit=0)
    rig.pass_time(10)
    found = look(rig, made)
    assert (found.phase, "by its backoff_limit" in found.message) == ("Terminating", True)
    assert outcome_of(rig, made).status == "succeeded"


def test_a_list_of_what_has_our_label_denies_nobody_else(rig: ModelRig) -> None:
    made, mirror = submit(rig), Mirror()
    rig.cluster.store.change(JOBS, stored(rig), lambda one: one["metadata"].pop("labels"))
    reader = TrainingReader(made, KnownCluster(ClusterSettings("model")), Sight(), mirror)

    def list_after_the_object() -> None:
        if "/jobs/" in rig.wire.spoken[-1]:
            mirror.listed("Job", [], rig.cluster.store.version + 1, rig.clock.now())
            rig.clock.advance(0.1)

    rig.run(reader.read(made.id))
    rig.wire.on_request = list_after_the_object
    assert not rig.run(reader.read(made.id)).deleted


@pytest.mark.parametrize("policy", ["Orphan", "Background"])
def test_a_name_that_is_free_again_is_taken_only_when_no_pod_writes(
    rig: ModelRig, policy: str
) -> None:
    rig.play(Script(seconds=100, stop_seconds=20))
    first = submit(rig)
    rig.pass_time(5)
    rig.cluster.deletion.delete(JOBS, stored(rig), policy)
    assert rig.lives(first.name)
    lived: list[bool] = []

    def hear(change: Change) -> None:
        if change.resource == JOBS and change.old is None:
            lived.append(rig.lives(first.name))

    rig.cluster.store.listen(hear)
    assert submit(rig).id != first.id
    assert lived == [False]


def test_a_pod_that_goes_on_without_its_job_stands_in_the_way(rig: ModelRig) -> None:
    rig.play(Script(seconds=None))
    submit(rig)
    rig.cluster.deletion.delete(JOBS, stored(rig), "Orphan")
    with pytest.raises(StillWriting, match="1 pod of an earlier workload of this task"):
        submit(rig)


def test_a_quota_that_stays_full_is_told(rig: ModelRig) -> None:
    rig.fill(100_000)
    with pytest.raises(QuotaExceeded, match="exceeded quota"):
        submit(rig)


def test_new_claims_are_made_once_for_all_generations(rig: ModelRig) -> None:
    volume = {"path": "/data", "existing": False, "size": "10G"}
    for generation in (1, 2):
        submit(rig, name_of(generation), storage={"pvc": [volume]})
    assert len(list(rig.cluster.store.all(CLAIMS))) == 1


def test_the_inventory_knows_the_task_of_each_training(rig: ModelRig) -> None:
    made = submit_for_task(rig)
    submit(rig)
    (owned,) = rig.run(rig.backend.inventory("prod"))
    assert (owned.workload.id, owned.project) == (made.id, "team-a")
    assert owned.origin.task_id == TASK.task_id
    assert (owned.origin.map_index, owned.workload.try_number) == (TASK.map_index, 2)
    assert rig.run(rig.backend.inventory("staging")) == []
    assert rig.run(rig.backend.inventory("prod", "team-b")) == []
    assert rig.run(rig.backend.inventory("prod", cluster="elsewhere")) == []
    rig.pass_time(200)
    assert rig.run(rig.backend.inventory("prod")) == []
    assert len(rig.run(rig.backend.inventory("prod", digest=TASK.digest(), ended=True))) == 1


def test_labels_for_people_say_which_try_of_which_task(rig: ModelRig) -> None:
    made = submit_for_task(rig)
    labels = stored(rig, made.name)["metadata"]["labels"]
    shown = {key: labels[f"airflow-runai/{key}"] for key in ("dag", "task", "run", "try")}
    assert shown == {"dag": TASK.dag_id, "task": TASK.task_id, "run": TASK.run_id, "try": "2"}
    assert labels["airflow-runai/map-index"] == "3"


def test_a_training_is_found_by_name_and_by_uid(rig: ModelRig) -> None:
    made, where = submit(rig), rig.place()
    for name_or_id in (made.name, made.id):
        assert rig.run(rig.backend.resolve(where, name_or_id)).id == made.id
    for name_or_id in ("nothing-g1", "00000000-0000-4000-8000-000000000000"):
        with pytest.raises(NotResolved, match=name_or_id):
            rig.run(rig.backend.resolve(where, name_or_id))
    assert [one.id for one in rig.run(rig.backend.find(where, "train-"))] == [made.id]
    assert rig.run(rig.backend.find(where, "train-", deleted=True)) == []


def test_a_namespace_for_all_projects_makes_them_queues(rig: ModelRig) -> None:
    settings = ClusterSettings("model", namespace="team-b", terms=TERMS)
    rig.backend = KubernetesBackend(settings)
    where: Project = rig.place()
    assert (where.id, where.name, where.namespace) == ("team-b", "team-a", "team-b")
    rig.run(rig.backend.create(where, order(rig)))
    found = rig.cluster.store.get(JOBS, "team-b", name_of())
    assert found["metadata"]["labels"]["kai.scheduler/queue"] == "team-a"


def test_another_cluster_than_the_connections_is_told(rig: ModelRig) -> None:
    with pytest.raises(NotResolved, match="'elsewhere': this connection leads to 'model'"):
        rig.run(rig.backend.find_project("team-a", "elsewhere"))


def test_what_the_cluster_does_not_serve_is_told_before_anything_is_made(rig: ModelRig) -> None:
    queue = Precondition(Registry("nowhere.example", "queues", True), "team-a", "project")
    served = rig.run(discover())
    with pytest.raises(NotResolved, match=r"project: the cluster serves no queues of nowhere"):
        rig.run(require(queue, "team-a", served))
    made = Manifests({"kind": "JobSet"}, preconditions=(queue,))
    with pytest.raises(NotResolved, match=r"spec\.distributed: the cluster serves no jobsets"):
        rig.run(create("team-a", made, Discovery({})))
    assert rig.names() == []


def test_an_annotation_that_was_edited_hides_neither_image_nor_command(rig: ModelRig) -> None:
    made = submit(rig, command="python train.py --lr '1 2'")
    assert rig.run(rig.backend.get_spec(made))["command"] == "python train.py --lr '1 2'"
    for text in ("{", '{"spec": {"image": "other:2", "command": "rm"}}', '{"spec": []}'):
        annotate(rig, {"airflow-runai/specification": text})
        found = rig.run(rig.backend.get_spec(made))
        assert found["image"] == "train:1"
        assert found["command"] == "python train.py --lr '1 2'"


def test_a_gang_whose_budget_is_spent_is_suspended_and_has_failed(rig: ModelRig) -> None:
    rig.play(Script(seconds=10, exit_code=7))
    made = submit(rig, distributed=GANG, backoff_limit=1)
    # The pods of an attempt that failed are gone after a second: who polls seldom never sees them.
    outcome = outcome_of(rig, made, WaitPolicy(0.3))
    assert outcome.status == "failed"
    assert "exit code 7 (Error); by its backoff_limit, this is the end" in outcome.reason
    rig.pass_time(300)
    assert not rig.lives(name_of())
    assert look(rig, made).phase == "Failed"


def test_a_gang_is_suspended_resumed_and_deleted_as_a_whole(rig: ModelRig) -> None:
    made = submit(rig, distributed=GANG)
    rig.pass_time(20)
    assert look(rig, made).phase == "Running"
    rig.run(rig.backend.suspend(made))
    rig.pass_time(20)
    assert (look(rig, made).phase, rig.lives(name_of())) == ("Stopped", False)
    rig.run(rig.backend.resume(made))
    rig.pass_time(20)
    assert (look(rig, made).phase, rig.run(rig.backend.standing_pods(made))) == ("Running", 3)
    rig.run(rig.backend.delete(made))
    rig.pass_time(20)
    assert (look(rig, made).deleted, rig.run(rig.backend.standing_pods(made))) == (True, 0)


def test_a_note_that_does_not_say_the_kind_finds_a_gang_and_proves_its_deletion(
    rig: ModelRig,
) -> None:
    made = submit(rig, distributed=GANG)
    note = Note(1, 1, made.id, made.name, project_id=made.project_id, cluster_id=made.cluster_id)
    found = rig.run(present(rig.backend, note.workload()))
    assert found is not None
    assert (found.id, found.kind, found.deleted) == (made.id, "Distributed", False)
    rig.run(rig.backend.delete(found))
    rig.pass_time(20)
    gone = rig.run(present(rig.backend, note.workload()))
    assert gone is not None
    assert gone.deleted


PAIR: dict[str, Any] = {
    "distributed": {"framework": "PyTorch", "workers": 1},
    "compute": {"gpu_devices": 1},
}
FAILED = "failed with exit code 3 (Error)"


def ends_of(outcome: Outcome) -> list[str]:
    return [moment.message for moment in outcome.timeline if moment.phase == "Pending"][1:]


def test_a_failure_of_a_gang_between_two_looks_of_a_worker_is_charged(rig: ModelRig) -> None:
    rig.play(Script(seconds=None, exits={1: (40.0, 3)}))
    outcome = outcome_of(rig, submit(rig, backoff_limit=0, **PAIR))
    assert outcome.status == "failed"
    assert f"{FAILED}; by its backoff_limit" in outcome.reason
    assert not rig.lives(outcome.name)


def test_a_gang_that_failed_between_two_looks_of_a_worker_goes_on_within_its_budget(
    rig: ModelRig,
) -> None:
    rig.play(Script(seconds=60.0, exits={1: (40.0, 3), 2: (1.0, 3)}))
    made = submit(rig, backoff_limit=2, **PAIR)
    asked = len(rig.wire.spoken)
    outcome = outcome_of(rig, made, WaitPolicy(15.0))
    assert outcome.status == "succeeded"
    assert [end.endswith(FAILED) for end in ends_of(outcome)] == [True, True]
    lists, watches = (
        [line for line in rig.wire.spoken[asked:] if "/pods?" in line and ("watch" in line) is so]
        for so in (False, True)
    )
    assert 1 <= len(watches) <= 2 < len(lists), "only a look that finds other pods asks"


def test_a_server_that_remembers_nothing_leaves_the_failure_of_a_gang_unknown(
    rig: ModelRig,
) -> None:
    rig.play(Script(seconds=60.0, exits={1: (40.0, 3)}))
    made = submit(rig, backoff_limit=0, **PAIR)
    rig.after(41.0, rig.forget)
    outcome = outcome_of(rig, made)
    assert outcome.status == "succeeded"
    assert ends_of(outcome) == ["ended (removed)"]


def test_who_may_not_watch_pods_is_told_once_what_stays_unknown(rig: ModelRig) -> None:
    rig.cluster.server.forbidden.add(("watch", "pods"))
    rig.play(Script(seconds=60.0, exits={1: (40.0, 3), 2: (40.0, 3)}))
    outcome = outcome_of(rig, submit(rig, backoff_limit=0, **PAIR))
    assert outcome.status == "succeeded"
    assert ends_of(outcome) == ["ended (removed)", "ended (removed)"]
    assert len([one for one in rig.told if "pods cannot be watched" in one.text]) == 1
