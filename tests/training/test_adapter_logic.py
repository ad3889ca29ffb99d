"""
What the adapters do, driven by hand: no framework is needed, so this is tried wherever the tests run.

The stand-ins do what the frameworks do at their side of the interface: write files, and call back
in the same order.
"""

from __future__ import annotations

import ast
import json
import signal
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from airflow_runai.checkpoints import Verdict, check
from airflow_runai.training import huggingface_trainer, lightning_trainer, preemptible
from airflow_runai.training.huggingface_trainer import PublishCheckpoints, metrics_of
from airflow_runai.training.lightning_trainer import LeaveWhenPreempted, PublishingCheckpointIO
from airflow_runai.training.preemptible import (
    CheckpointVerificationError,
    PreemptionGuard,
    newest_valid,
    verify,
)
from tests.checkpoints.samples import safetensors_file


@pytest.fixture
def guard() -> Iterator[PreemptionGuard]:
    with PreemptionGuard(grace_seconds=30) as made:
        yield made


# --- Hugging Face
# ----------------------------------------------------------------------------------------


class Trainer:
    """The Trainer's side: after each step it calls back, writes ``checkpoint-N`` in place if asked to, calls back."""

    def __init__(self, root: Path, callback: PublishCheckpoints, **arguments: Any) -> None:
        settings = {
            "world_size": 1,
            "save_only_model": False,
            "save_total_limit": None,
            **arguments,
        }
        self.args = SimpleNamespace(output_dir=str(root), **settings)
        self.state = SimpleNamespace(
            global_step=0,
            epoch=0.0,
            is_world_process_zero=True,
            best_model_checkpoint=None,
            log_history=[{"loss": 1.5}],
        )
        self.control = SimpleNamespace(
            should_save=False, should_training_stop=False, should_evaluate=True
        )
        self.callback = callback

    def train(self, steps: int, save_every: int = 1) -> None:
        self.callback.on_train_begin(self.args, self.state, self.control)
        while self.state.global_step < steps and not self.control.should_training_stop:
            self.state.global_step += 1
            self.state.epoch += 0.25
            self.control.should_save = self.state.global_step % save_every == 0
            self.callback.on_step_end(self.args, self.state, self.control)
            self._save()
        self.control.should_save = True  # a strategy that saves at the end of epochs
        self.callback.on_epoch_end(self.args, self.state, self.control)
        self._save()

    def _save(self) -> None:
        if self.control.should_save:
            self.write(Path(self.args.output_dir, f"checkpoint-{self.state.global_step}"))
            self.callback.on_save(self.args, self.state, self.control)
            self.control.should_save = False

    def write(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        names = [
            "optimizer.bin",
            *(f"rng_state_{rank}.pth" for rank in range(self.args.world_size)),
        ]
        (folder / "model.safetensors").write_bytes(safetensors_file())
        for name in names:
            (folder / name).write_text(f"{name} of {self.state.global_step}")
        (folder / "trainer_state.json").write_text(
            json.dumps({"global_step": self.state.global_step})
        )


def steps(root: Path) -> list[int]:
    return sorted(int(path.name.rpartition("-")[2]) for path in root.glob("checkpoint-*"))


def test_each_checkpoint_of_the_trainer_proves_itself(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    Trainer(tmp_path, PublishCheckpoints(guard)).train(3)
    for step in (1, 2, 3):
        found = verify(tmp_path / f"checkpoint-{step}")
        assert (found.step, found.epoch, found.metrics) == (step, 0, {"loss": 1.5})
    assert huggingface_trainer.newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-3")
    assert huggingface_trainer.newest_checkpoint(tmp_path / "nothing") is None


def test_while_the_trainer_writes_readers_are_told_so(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    seen: list[Verdict] = []

    class Watched(Trainer):
        def write(self, folder: Path) -> None:
            super().write(folder)
            seen.append(check(folder, level=0).verdict)

    Watched(tmp_path, PublishCheckpoints(guard)).train(2)
    assert seen == [Verdict.IN_PROGRESS] * 2
    assert not list(tmp_path.rglob("checkpoint-is-incomplete.txt"))


def test_left_overs_of_a_dead_training_do_not_get_into_a_checkpoint(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    Trainer(tmp_path, PublishCheckpoints(guard)).train(2)
    (tmp_path / "checkpoint-2" / "rng_state_7.pth").write_text("of a larger world")
    assert huggingface_trainer.newest_checkpoint(tmp_path) == str(tmp_path / "checkpoint-1")
    Trainer(tmp_path, PublishCheckpoints(guard)).train(2)
    assert "rng_state_7.pth" not in [
        path.name for path in verify(tmp_path / "checkpoint-2").path.iterdir()
    ]


def test_signal_asks_for_a_save_and_the_end_but_for_no_evaluation(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    trainer = Trainer(tmp_path, PublishCheckpoints(guard))
    signal.raise_signal(signal.SIGTERM)
    trainer.train(10, save_every=5)
    assert steps(tmp_path) == [1]
    assert trainer.control.should_training_stop
    assert not trainer.control.should_evaluate


def test_step_that_was_published_is_not_saved_over_at_the_end_of_the_epoch(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    saved: list[int] = []

    class Watched(Trainer):
        def write(self, folder: Path) -> None:
            super().write(folder)
            saved.append(self.state.global_step)

    Watched(tmp_path, PublishCheckpoints(guard)).train(4, save_every=2)
    assert saved == [2, 4]


def test_checkpoint_resumed_from_is_not_written_over_before_a_step_was_done(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    Trainer(tmp_path, PublishCheckpoints(guard)).train(2)
    before = (tmp_path / "checkpoint-2").stat().st_ino
    again = Trainer(tmp_path, PublishCheckpoints(guard))
    again.state.global_step = 2
    again.train(2)
    assert (tmp_path / "checkpoint-2").stat().st_ino == before


def test_rotation_waits_for_the_manifest_and_keeps_the_best(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    seen: list[list[int]] = []

    class Watched(Trainer):
        def write(self, folder: Path) -> None:
            super().write(folder)
            seen.append(steps(tmp_path))

    trainer = Watched(tmp_path, PublishCheckpoints(guard), save_total_limit=1)
    trainer.train(2)
    trainer.state.best_model_checkpoint = str(tmp_path / "checkpoint-2")
    trainer.train(4)  # a second call with the same arguments, from which the limit is gone
    assert trainer.args.save_total_limit is None
    assert seen == [[1], [1, 2], [2, 3], [2, 3, 4]]
    assert steps(tmp_path) == [2, 4]


def test_rotation_does_not_count_what_is_newer_by_number(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    Trainer(tmp_path, PublishCheckpoints(guard)).train(6)
    Trainer(tmp_path, PublishCheckpoints(guard), save_total_limit=2).train(3)
    assert steps(tmp_path) == [2, 3, 4, 5, 6]


def test_checkpoint_that_lacks_the_last_file_is_an_error_and_not_published(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    class Broken(Trainer):
        def write(self, folder: Path) -> None:
            super().write(folder)
            (folder / "trainer_state.json").unlink()

    with pytest.raises(RuntimeError, match=r"checkpoint-1: .*expected trainer_state\.json"):
        Broken(tmp_path, PublishCheckpoints(guard)).train(1)
    assert newest_valid(tmp_path) is None


def test_random_states_of_all_ranks_are_asked_for(tmp_path: Path) -> None:
    trainer = SimpleNamespace(global_step=5, epoch=1.5, log_history=[])
    folder = tmp_path / "checkpoint-5"
    folder.mkdir()
    for name in ("trainer_state.json", "model.bin", "rng_state_0.pth"):
        (folder / name).write_text("{}")
    with pytest.raises(RuntimeError, match="of all 2 ranks"):
        huggingface_trainer.write_trainer_manifest(folder, trainer, world_size=2)
    (folder / "rng_state_1.pth").write_text("x")
    huggingface_trainer.write_trainer_manifest(folder, trainer, world_size=2)
    assert verify(folder).epoch == 1
    (folder / "rng_state_1.pth").unlink()
    with pytest.raises(CheckpointVerificationError, match="rng_state_1"):
        verify(folder)


def test_the_trainers_own_save_on_sigterm_is_refused(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    with pytest.raises(ValueError, match="enable_jit_checkpoint=True: switch it off"):
        Trainer(tmp_path, PublishCheckpoints(guard), enable_jit_checkpoint=True).train(1)


def test_metrics_are_the_last_finite_numbers_of_the_log() -> None:
    history: list[dict[str, Any]] = [
        {"loss": 2.0, "step": 1},
        {"loss": 1.0, "grad_norm": float("nan")},
        {"eval_accuracy": 0.5, "note": "x"},
    ]
    assert metrics_of(history) == {"loss": 1.0, "step": 1.0, "eval_accuracy": 0.5}


# --- Lightning
# -------------------------------------------------------------------------------------------


class Disk(PublishingCheckpointIO):
    """The plugin with another serializer than PyTorch's."""

    def _dump(self, checkpoint: dict[str, Any], path: Path) -> None:
        path.write_text(json.dumps(checkpoint))

    def _load(self, path: Path, map_location: Any, weights_only: bool | None) -> dict[str, Any]:
        state: dict[str, Any] = json.loads(path.read_text())
        return state


STATE = {"global_step": 4, "epoch": 1, "state_dict": {}}


def test_plugin_saves_under_lightnings_name_and_loads_what_proves_itself(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "epoch=1-step=4.ckpt"
    Disk().save_checkpoint(STATE, path)
    assert (verify(path).step, verify(path).epoch) == (4, 1)
    assert Disk().load_checkpoint(path) == STATE
    assert lightning_trainer.newest_checkpoint(tmp_path / "deep") == str(path)
    (path / "state.ckpt").write_text("{}")
    with pytest.raises(CheckpointVerificationError, match=r"state\.ckpt"):
        Disk().load_checkpoint(path)
    assert lightning_trainer.newest_checkpoint(tmp_path / "deep") is None


def test_plugin_replaces_last_ckpt_and_reads_a_file_of_lightnings_own(tmp_path: Path) -> None:
    for step in (4, 8):
        Disk().save_checkpoint({**STATE, "global_step": step}, tmp_path / "last.ckpt")
    assert Disk().load_checkpoint(tmp_path / "last.ckpt")["global_step"] == 8
    (tmp_path / "old.ckpt").write_text(json.dumps(STATE))
    assert Disk().load_checkpoint(tmp_path / "old.ckpt") == STATE


def test_plugin_removes_a_checkpoint_and_leaves_no_half_of_it(tmp_path: Path) -> None:
    path = tmp_path / "epoch=1-step=4.ckpt"
    Disk().save_checkpoint(STATE, path)
    Disk().remove_checkpoint(str(path))
    assert [name.name for name in tmp_path.iterdir()] == ["latest"]


@pytest.mark.parametrize(
    ("path", "options", "says"),
    [
        ("s3://bucket/a.ckpt", None, "mounted storage is expected"),
        ("a.ckpt", {"key": 1}, "storage_options="),
    ],
)
def test_plugin_refuses_what_it_cannot_make_atomic(
    tmp_path: Path, path: str, options: Any, says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        Disk().save_checkpoint(STATE, path, options)


class LightningTrainer:
    """Lightning's side: counts optimizer steps, saves through the plugin."""

    world_size = 1
    is_global_zero = True

    def __init__(self) -> None:
        self.global_step = 0

    def save_checkpoint(self, path: Path) -> None:
        Disk().save_checkpoint({**STATE, "global_step": self.global_step}, path)

    def run(self, callback: LeaveWhenPreempted, batches: int, accumulate: int = 1) -> None:
        callback.on_train_start(self, None)
        for batch in range(batches):
            callback.on_train_batch_start(self, None, None, batch)
            self.global_step += (batch + 1) % accumulate == 0
            callback.on_train_batch_end(self, None, None, None, batch)


def test_signal_saves_after_the_optimizer_step_and_leaves_with_the_code(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    callback, trainer = LeaveWhenPreempted(guard, tmp_path), LightningTrainer()
    trainer.run(callback, 4)
    assert newest_valid(tmp_path) is None
    signal.raise_signal(signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        trainer.run(callback, 8, accumulate=4)
    assert (left.value.code, trainer.global_step) == (143, 5)
    assert lightning_trainer.newest_checkpoint(tmp_path) == str(tmp_path / "preempted-step=5.ckpt")


def test_only_the_last_preemption_leaves_a_checkpoint_of_its_own(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    signal.raise_signal(signal.SIGTERM)
    trainer = LightningTrainer()
    for _ in range(3):
        with pytest.raises(SystemExit):
            trainer.run(LeaveWhenPreempted(guard, tmp_path), 1)
    assert sorted(path.name for path in tmp_path.glob("*.ckpt")) == ["preempted-step=3.ckpt"]


def test_handler_that_lightning_put_in_between_is_replaced(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    signal.signal(signal.SIGTERM, lambda *_: pytest.fail("Lightning's handler was called"))
    LeaveWhenPreempted(guard, tmp_path).on_sanity_check_start(None, None)
    signal.raise_signal(signal.SIGTERM)
    assert guard.should_stop


def test_exit_of_lightnings_own_gets_the_code_that_does_not_mean_finished(
    tmp_path: Path, guard: PreemptionGuard
) -> None:
    callback = LeaveWhenPreempted(guard, tmp_path)
    callback.on_exception(None, None, SystemExit())  # no signal came: somebody else's affair
    signal.raise_signal(signal.SIGTERM)
    callback.on_exception(None, None, RuntimeError("CUDA error"))
    with pytest.raises(SystemExit) as left:
        callback.on_exception(None, None, SystemExit())
    assert left.value.code == 143


# --- any image
# -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("module", [huggingface_trainer, lightning_trainer])
def test_adapter_imports_nothing_of_ours_but_what_lies_beside_it_in_the_image(module: Any) -> None:
    tree = ast.parse(Path(module.__file__).read_text())
    modules = {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    ours = {name for name in modules if name.startswith("airflow")}
    assert ours <= {"airflow_runai.training", "airflow_runai.training.ranks"}


def test_no_adapter_has_the_name_of_a_library_that_it_would_hide_when_copied() -> None:
    names = {path.stem for path in Path(preemptible.__file__).parent.glob("*.py")}
    assert names & {"torch", "transformers", "lightning", "huggingface_hub", "datasets"} == set()
