"""Good checkpoints as today's libraries write them, each of which was once refused for a name."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import Verdict, check, select
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import GOLDEN

EVERYDAY = GOLDEN.parent / "everyday"
VALID, UNVERIFIABLE, POISONED, UNKNOWN = (
    Verdict.VALID,
    Verdict.UNVERIFIABLE,
    Verdict.POISONED,
    Verdict.UNKNOWN,
)
UNPROVEN, FOREIGN = "safetensors-no-checksum", "pickle-foreign"
#: Path: format, verdict, step and codes.
EXPECTED: dict[str, tuple[str | None, Verdict, int | None, set[str]]] = {
    "adapter.safetensors": ("safetensors", UNVERIFIABLE, None, {UNPROVEN}),
    "checkpoint-500": ("directory", VALID, 500, {"trainer-in-name-only", "step-differs"}),
    "pretrained/checkpoint-500": (
        "directory",
        UNVERIFIABLE,
        500,
        {"trainer-in-name-only", UNPROVEN},
    ),
    "numbers.pt": ("torch-zip", VALID, None, {"score-non-finite", "mask-infinite"}),
    "mask_token.pt": ("torch-zip", POISONED, None, {"non-finite"}),
    "whole.pt": ("torch-legacy", UNVERIFIABLE, None, {FOREIGN, "legacy-no-checksum"}),
    "protocol1.pt": ("torch-legacy", UNVERIFIABLE, None, {"legacy-no-checksum"}),
    "scientific.pt": ("torch-zip", VALID, None, set()),
    "epoch=1-step=1.ckpt": ("lightning", VALID, 8, {"step-differs", "score-non-finite"}),
    "checkpoint-7": ("huggingface-trainer", UNVERIFIABLE, 7, {"step-differs", UNPROVEN, FOREIGN}),
    "state.msgpack": (None, UNKNOWN, None, {"format-unknown"}),
    "array.npy": (None, UNKNOWN, None, {"format-unknown"}),
    "model.joblib": ("pickle", UNKNOWN, None, {"format-unknown"}),
    "program.pt2": (None, UNKNOWN, None, {"format-unknown"}),
}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_libraries_write_every_day_gets_its_verdict(name: str) -> None:
    report = check(EVERYDAY / name)
    found = (
        report.format,
        report.verdict,
        report.step,
        code_set(report),
    )
    assert found == EXPECTED[name]
    assert not report.transient


def test_the_header_of_the_adapter_begins_as_a_pickle_does() -> None:
    assert (EVERYDAY / "adapter.safetensors").read_bytes()[:2] in (
        b"\x80\2",
        b"\x80\3",
        b"\x80\4",
        b"\x80\5",
    )


def test_a_training_that_was_resumed_without_its_optimizer_goes_on(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-7").symlink_to(EVERYDAY / "checkpoint-7")
    chosen = select(tmp_path, accept_unverifiable=True).chosen
    assert chosen is not None
    assert chosen.step == 7


def _torch(path: Path) -> object:
    return pytest.importorskip("torch").load(path, weights_only=False)


def _safetensors(path: Path) -> object:
    return pytest.importorskip("safetensors.numpy").load_file(path)


def _trainer(path: Path) -> object:
    state = json.loads((path / "trainer_state.json").read_text())
    optimizer: Any = _torch(path / "optimizer.pt")
    steps = {int(entry["step"]) for entry in optimizer["state"].values()}
    assert (state["global_step"], steps) == (7, {4})
    return state


LOADERS: dict[str, Callable[[Path], object]] = {
    "adapter.safetensors": _safetensors,
    "numbers.pt": _torch,
    "mask_token.pt": _torch,
    "whole.pt": _torch,
    "protocol1.pt": _torch,
    "scientific.pt": _torch,
    "epoch=1-step=1.ckpt": _torch,
    "checkpoint-7": _trainer,
    "checkpoint-500": lambda path: [_torch(path / "model.pt"), _torch(path / "optimizer.pt")],
    "pretrained/checkpoint-500": lambda path: _safetensors(path / "model.safetensors"),
    "array.npy": lambda path: pytest.importorskip("numpy").load(path),
    "model.joblib": lambda path: pytest.importorskip("joblib").load(path),
    "state.msgpack": lambda path: pytest.importorskip("msgpack").unpackb(path.read_bytes()),
    "program.pt2": lambda path: pytest.importorskip("torch").export.load(path),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", LOADERS)
def test_the_library_itself_loads_it(name: str) -> None:
    assert LOADERS[name](EVERYDAY / name) is not None
