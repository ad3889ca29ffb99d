"""Exactly one workload, whatever happens on the way."""

from __future__ import annotations

import pytest

from airflow_runai.backends.submission import create_or_adopt, generations
from airflow_runai.backends.termination import end_and_wait
from airflow_runai.core.flow import now
from airflow_runai.core.naming import TaskIdentity, base_name, generation_name
from airflow_runai.core.note import Note
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import Adopt, Create, Tries, plan_submission
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Forbidden, ForeignWorkload, NotResolved, Refused, SpecError
from tests.contract.rig import DIGEST, MakeRig, Rig, Script, name_of, order
from tests.contract.waits import least, submit


def plan(
    rig: Rig, tries: Tries, note: Note | None = None, on_clear: str = "restart"
) -> Create | Adopt:
    found = rig.run(generations(rig.backend, rig.place(), DIGEST, note))
    return plan_submission(found, tries, note, on_clear)


def noted(made: Workload) -> Note:
    """Return what the first try writes down of its workload."""
    return Note(1, 1, made.id, made.name, project_id=made.project_id, max_tries=2)


def test_submit_creates_exactly_one(rig: Rig) -> None:
    made = submit(rig)
    assert (made.name, rig.names()) == (name_of(), [name_of()])
    found = rig.run(rig.backend.reader(made).read(made.id))
    assert (found.id, found.project_id) == (made.id, rig.place().id)


def test_submit_again_adopts(rig: Rig) -> None:
    assert submit(rig).id == submit(rig).id
    assert rig.names() == [name_of()]


def test_lost_reply_after_create_adopts(rig: Rig) -> None:
    rig.lose_reply()
    found = submit(rig)
    assert (found.name, rig.names()) == (name_of(), [name_of()])


def test_reset_before_create_creates_once(rig: Rig) -> None:
    rig.reset()
    found = submit(rig)
    assert (found.name, rig.names()) == (name_of(), [name_of()])


def test_same_name_other_specification_is_foreign_with_readable_difference(rig: Rig) -> None:
    submit(rig)
    with pytest.raises(ForeignWorkload, match="running with 1, now 2"):
        submit(rig, compute={"gpu_devices": 2})
    assert rig.names() == [name_of()]


def test_crash_between_note_and_create(rig: Rig) -> None:
    intent = Note(1, 1, name=name_of(), max_tries=2)
    step = plan(rig, Tries(2, 1, 2), intent)
    assert isinstance(step, Create)
    assert (step.generation, step.ends) == (1, ())


def test_crash_between_create_and_note(rig: Rig) -> None:
    made = submit(rig)
    step = plan(rig, Tries(2, 1, 2), Note(1, 1, name=name_of(), max_tries=2))
    assert isinstance(step, Adopt)
    assert (step.workload.id, step.workload.try_number) == (made.id, 1)
    assert step.workload.fingerprint == order(rig).fingerprint


def test_retry_after_failure_makes_next_generation(rig: Rig) -> None:
    rig.play(Script(seconds=10, exit_code=3))
    made = submit(rig, backoff_limit=0)
    rig.pass_time(60)
    step = plan(rig, Tries(2, 1, 2), noted(made))
    assert isinstance(step, Create)
    assert (step.generation, step.ends) == (2, ())


def test_retry_after_success_adopts(rig: Rig) -> None:
    made = submit(rig)
    rig.pass_time(200)
    step = plan(rig, Tries(2, 1, 2), noted(made))
    assert isinstance(step, Adopt)
    assert step.workload.id == made.id


def test_clear_restart_ends_old_before_new_starts(rig: Rig) -> None:
    rig.play(Script(seconds=None, stop_seconds=20))
    made = submit(rig)
    rig.pass_time(10)
    step = plan(rig, Tries(2, 2, 3), noted(made))
    assert isinstance(step, Create)
    assert [old.id for old in step.ends] == [made.id]
    assert rig.lives(name_of())
    rig.run(end_and_wait(rig.backend, step.ends[0]))
    assert not rig.lives(name_of())
    again = plan(rig, Tries(2, 2, 3), noted(made))
    assert isinstance(again, Create)
    assert (again.generation, again.ends) == (2, ())


def test_clear_reattach_adopts(rig: Rig) -> None:
    made = submit(rig)
    note = noted(made)
    step = plan(rig, Tries(2, 2, 3), note, on_clear="reattach")
    assert isinstance(step, Adopt)
    assert (step.workload.id, step.cleared) == (made.id, True)


def test_deleted_and_made_again_by_other_is_not_ours(rig: Rig) -> None:
    made = submit(rig)
    rig.run(end_and_wait(rig.backend, made))
    submit(rig, image="somebody-else:1")
    with pytest.raises(ForeignWorkload, match="somebody-else"):
        submit(rig)


@pytest.mark.needs("policy")
def test_refused_by_policy_names_field(make_rig: MakeRig) -> None:
    rig = make_rig(policy_max_gpus=1)
    with pytest.raises(Refused, match="gpuDevicesRequest"):
        submit(rig, compute={"gpu_devices": 2})
    assert rig.names() == []


def test_forbidden_names_missing_right(rig: Rig) -> None:
    where = rig.place()
    rig.forbid("POST")
    with pytest.raises(Forbidden, match="POST"):
        rig.run(create_or_adopt(rig.backend, where, order(rig)))
    assert rig.names() == []


def test_unknown_project_or_queue_told_before_submit(rig: Rig) -> None:
    with pytest.raises(NotResolved, match="'nobody'"):
        rig.run(rig.backend.find_project("nobody"))


def test_inexpressible_field_refused_offline() -> None:
    with pytest.raises(SpecError, match="gpu_device"):
        WorkloadSpec.from_mapping({"image": "a:1", "compute": {"gpu_device": 1}})


def test_two_airflows_in_one_project_never_meet(rig: Rig) -> None:
    ours, theirs = (TaskIdentity(name, "dag", "run", "train") for name in ("prod", "staging"))
    for one in (ours, theirs):
        submit(rig, generation_name(base_name(one), 1))
    for one in (ours, theirs):
        found = rig.run(generations(rig.backend, rig.place(), one.digest()))
        assert [workload.name for _, workload in found] == [generation_name(base_name(one), 1)]


def test_mapped_tasks_have_own_workloads(rig: Rig) -> None:
    tasks = [TaskIdentity("prod", "dag", "run", "train", index) for index in range(3)]
    names = [generation_name(base_name(one), 1) for one in tasks]
    assert len({submit(rig, name).id for name in names}) == 3
    for one, name in zip(tasks, names, strict=True):
        ((_, found),) = rig.run(generations(rig.backend, rig.place(), one.digest()))
        assert found.name == name


@pytest.mark.needs("quota of objects")
def test_quota_of_objects_exceeded_is_waited_for(rig: Rig) -> None:
    began = rig.run(now())
    rig.fill(120)
    made = submit(rig)
    assert (made.name, rig.names()) == (name_of(), [name_of()])
    assert made.created_at - began >= least(rig, 119)
