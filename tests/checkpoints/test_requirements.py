"""What can be asked of a checkpoint beside being whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import RequirementError, Requirements, Selection, select
from tests.checkpoints.samples import publish, write
from tests.checkpoints.trainings import safetensors_state, torch_state, weights


def asked(root: Path, **wanted: Any) -> Selection:
    return select(root, requirements=Requirements.from_mapping(wanted), accept_unverifiable=True)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for step in (4, 5):
        write(tmp_path / f"step-{step}.pt", torch_state(weights(step), step))
    return tmp_path


MET: list[dict[str, Any]] = [
    {},
    {"min_step": 5},
    {"not_behind": 5, "min_step": 1},
    {"tensors": {"first": None, "second": {}}},
    {"tensors": {"first": {"dtype": "float32", "shape": [2, 3]}}},
    {"tensors": {"first": {"dtype": "torch.float32"}, "bias": {"dtype": "F32", "shape": (4,)}}},
    {"tensors": {"*s*": {"dtype": "Float"}}},
]


@pytest.mark.parametrize("wanted", MET, ids=str)
def test_what_is_met_is_chosen(root: Path, wanted: dict[str, Any]) -> None:
    chosen = asked(root, **wanted).chosen
    assert chosen is not None
    assert chosen.step == 5


UNMET: list[tuple[dict[str, Any], str, str]] = [
    ({"world_size": 8}, "world-size-differs", "8 are asked for"),
    ({"tensors": {"third": None}}, "not-as-expected", "'third' is asked for and not there"),
    ({"tensors": {"layer.*": None}}, "not-as-expected", "'layer.*' is asked for and not there"),
    (
        {"tensors": {"first": {"dtype": "bfloat16"}}},
        "not-as-expected",
        "is Float; bfloat16 is asked for",
    ),
    (
        {"tensors": {"*": {"shape": [2, 3]}}},
        "not-as-expected",
        "has shape [4]; [2, 3] is asked for",
    ),
]


@pytest.mark.parametrize(("wanted", "code", "words"), UNMET, ids=str)
def test_what_is_not_met_is_not_chosen_and_says_why(
    root: Path, wanted: dict[str, Any], code: str, words: str
) -> None:
    found = asked(root, **wanted)
    assert found.chosen is None
    last = found.rejected[0].findings[-1]
    assert last.code == code
    assert words in last.message


def test_a_step_behind_what_was_reached_is_left_out(root: Path) -> None:
    write(root / "last-step-5.pt", b"torn")
    assert asked(root, not_behind=6).chosen is None
    write(root / "step-9.pt", b"torn")
    found = asked(root, not_behind=5)
    assert found.chosen is not None
    assert found.chosen.step == 5


def test_a_checkpoint_without_a_step_cannot_be_proven_new_enough(tmp_path: Path) -> None:
    write(tmp_path / "last.safetensors", safetensors_state(weights(1)))
    found = asked(tmp_path, not_behind=1)
    assert [report.findings[-1].code for report in found.rejected] == ["behind-last-step"]


def test_the_manifest_tells_how_many_processes_wrote_it(tmp_path: Path) -> None:
    publish(tmp_path, 1, world_size=1)
    assert asked(tmp_path, world_size=1).chosen is not None
    found = asked(tmp_path, world_size=2)
    assert "written by: 1 process(es); 2 are asked for" in found.rejected[0].findings[-1].message


WRONG: list[tuple[Any, list[str]]] = [
    ([], ["[] is no mapping"]),
    ({"steps": 5}, ["'steps': unknown; allowed: min_step, not_behind, world_size, tensors"]),
    (
        {"min_step": "5", "world_size": 0},
        ["min_step: '5'; allowed", "world_size: 0; allowed: a whole number from 1"],
    ),
    ({"min_step": -1}, ["min_step: -1; allowed: a whole number from 0"]),
    ({"min_step": True}, ["min_step: True"]),
    ({"tensors": ["a"]}, ["tensors: ['a']; allowed: a mapping"]),
    ({"tensors": {}}, ["tensors: is empty"]),
    (
        {"tensors": {"a": {"type": "F32"}}, "x": 1},
        ["'x': unknown", "tensors.a: {'type': 'F32'}; allowed"],
    ),
    ({"tensors": {"a": {"shape": [-1]}}}, ["tensors.a: {'shape': [-1]}"]),
]


@pytest.mark.parametrize(("wanted", "words"), WRONG, ids=str)
def test_demands_that_nothing_can_meet_are_refused_with_all_mistakes(
    wanted: Any, words: list[str]
) -> None:
    with pytest.raises(RequirementError) as caught:
        Requirements.from_mapping(wanted)
    assert [problem for word in words for problem in caught.value.problems if word in problem]
    assert len(caught.value.problems) == len(words)


def test_demands_that_contradict_the_selection_are_refused(root: Path) -> None:
    with pytest.raises(RequirementError, match="min_step: 4 here and 5 among the requirements"):
        select(root, min_step=4, requirements=Requirements(min_step=5))
    with pytest.raises(RequirementError, match="level 0"):
        select(root, level=0, requirements=Requirements.from_mapping({"tensors": {"first": None}}))
