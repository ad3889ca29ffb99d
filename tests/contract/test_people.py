"""What people see, and what newer servers say."""

from __future__ import annotations

import pytest

from airflow_runai.core.incarnations import nodes_of
from airflow_runai.core.usage import runs
from tests.contract.rig import Rig, name_of
from tests.contract.waits import outcome_of, submit


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
    compute = {"gpu_devices": 1, "gpu_portion": 0.5}
    made = submit(rig, compute=compute)
    spec = rig.run(rig.backend.get_spec(made))
    assert spec["compute"]["gpuPortionRequest"] == 0.5


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
