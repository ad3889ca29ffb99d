"""The researcher's scripts as the workload runs them: real processes, real signals, real files."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_runai.training import preemptible
from airflow_runai.training.preemptible import Checkpoint, newest_valid

DIGITS = Path(__file__).parents[2] / "dags" / "digits"
PLAIN = {
    "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    "PYTHONPATH": str(DIGITS.parents[1]),
    "OMP_NUM_THREADS": "1",
}

pytestmark = pytest.mark.slow  # each process imports scikit-learn


def run(script: str, *arguments: str, **environment: object) -> subprocess.CompletedProcess[str]:
    settings = {name: str(value) for name, value in environment.items()}
    return subprocess.run(
        [str(DIGITS / "startup.sh"), *arguments],
        capture_output=True,
        text=True,
        env={**PLAIN, "SCRIPT": script, **settings},
    )


def found(root: Path) -> Checkpoint:
    checkpoint = newest_valid(root)
    assert checkpoint is not None
    return checkpoint


def preempt(script: str, root: Path, after: str) -> str:
    """Start a paced training, send SIGTERM after a line that matches, and return what it said."""
    environment = {**PLAIN, "SCRIPT": script, "CHECKPOINTS": str(root), "NODE_NAME": "node-1"}
    command = [str(DIGITS / "startup.sh"), "epochs=4", "seconds-per-epoch=2", "checkpoint-every=7"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as child:
        assert child.stdout is not None
        lines = []
        for line in child.stdout:
            lines.append(line)
            if re.search(after, line):
                child.send_signal(signal.SIGTERM)
        assert child.wait() == 143
    return "".join(lines)


def assert_same_files(one: Path, other: Path) -> None:
    assert sorted(path.name for path in one.iterdir()) == sorted(
        path.name for path in other.iterdir()
    )
    for path in one.iterdir():
        if path.name != "manifest.json":
            assert path.read_bytes() == (other / path.name).read_bytes(), path.name


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four epochs without interruption."""
    root = tmp_path_factory.mktemp("trained")
    done = run(
        "train.py", "number-of-epochs=4", "batch-size=64", CHECKPOINTS=root, NODE_NAME="node-1"
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("starting from scratch on node node-1\nepoch 1/4  step 23")
    assert done.stdout.endswith("training complete: 4 epochs, 92 steps\n")
    return root


def test_thirty_epochs_reach_the_accuracy_that_the_gate_asks_for(tmp_path: Path) -> None:
    done = run("train.py", CHECKPOINTS=tmp_path)
    assert done.returncode == 0
    assert found(tmp_path).metrics["accuracy"] >= 0.95
    assert done.stdout.count("\nepoch ") == 30


def test_interrupted_and_resumed_training_ends_bit_for_bit_like_an_uninterrupted_one(
    tmp_path: Path, trained: Path
) -> None:
    said = preempt("train.py", tmp_path, after=r"epoch 1/4")
    stopped = re.search(r"preempted at step (\d+): checkpoint saved, [\d.]+ s left", said)
    assert stopped is not None
    assert found(tmp_path).step == int(stopped[1])
    assert 23 < found(tmp_path).step < 92
    done = run("train.py", "epochs=4", CHECKPOINTS=tmp_path, NODE_NAME="node-2")
    assert done.returncode == 0
    assert re.match(
        rf"resumed from step {stopped[1]} \(step-\d+, epoch 1\) on node node-2\n", done.stdout
    )
    assert_same_files(found(tmp_path).path, found(trained).path)


def test_finished_training_exits_at_once_and_more_epochs_continue_it(
    tmp_path: Path, trained: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(trained, root)
    again = run("train.py", CHECKPOINTS=root, EPOCHS=4)
    assert (again.returncode, again.stdout.count("\n")) == (0, 2)
    assert found(root).step == 92
    more = run("train.py", CHECKPOINTS=root, EPOCHS=5)
    assert "epoch 5/5  step 115" in more.stdout


def test_torn_newest_checkpoint_is_refused_and_the_previous_resumed(
    tmp_path: Path, trained: Path
) -> None:
    root = tmp_path / "copy"
    shutil.copytree(trained, root)
    newest = found(root).path
    (newest / "model.safetensors").write_bytes((newest / "model.safetensors").read_bytes()[:-100])
    done = run("train.py", "--epochs", "4", CHECKPOINTS=root)
    assert done.returncode == 0
    assert "resumed from step 50 (step-00000050, epoch 2)" in done.stdout
    assert "checkpoint refused" in done.stderr
    assert_same_files(found(root).path, found(trained).path)


def test_helper_copied_beside_the_script_is_enough(tmp_path: Path) -> None:
    image = tmp_path / "image"
    shutil.copytree(DIGITS, image)
    shutil.copy(preemptible.__file__, image)
    (image / "airflow_runai.py").write_text("raise RuntimeError('the package is not there')")
    command = [str(image / "startup.sh"), "epochs=1"]
    done = subprocess.run(command, env={**PLAIN, "CHECKPOINTS": str(tmp_path / "root")})
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("arguments", "environment", "epochs"),
    [
        ([], {"EPOCHS": "2"}, 2),
        (["--epochs", "1"], {"EPOCHS": "2"}, 1),
        (["number-of-epochs=1"], {"EPOCHS": "bad, but nobody asks"}, 1),
    ],
)
def test_arguments_win_over_the_environment(
    tmp_path: Path, arguments: list[str], environment: dict[str, str], epochs: int
) -> None:
    done = run("train.py", *arguments, CHECKPOINTS=tmp_path, **environment)
    assert done.returncode == 0
    assert found(tmp_path).epoch == epochs


@pytest.mark.parametrize(
    ("arguments", "environment", "says"),
    [
        ([], {}, "no place for checkpoints: set CHECKPOINTS=DIRECTORY or --checkpoints DIRECTORY"),
        (
            [],
            {"CHECKPOINTS": ""},
            "environment CHECKPOINTS: is empty; give a directory that outlives the node",
        ),
        (
            [f"checkpoints={__file__}"],
            {},
            f"argument --checkpoints: '{__file__}' is a file; give a directory",
        ),
        ([], {"EPOCHS": "many"}, "environment EPOCHS: 'many' is not a whole number of 1 or more"),
        (["batch-size=0"], {}, "argument --batch-size: '0' is not a whole number of 1 or more"),
        (
            ["--learning-rate", "nan"],
            {},
            "argument --learning-rate: 'nan' is not a number of 0 or more",
        ),
        (["epoch=3"], {}, "unrecognized arguments: --epoch=3"),
    ],
)
def test_bad_setting_gets_one_clear_line(
    arguments: list[str], environment: dict[str, str], says: str
) -> None:
    done = run("train.py", *arguments, **environment)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"train.py: {says}\n")


def test_storage_that_fails_is_one_line_and_no_fresh_start(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    done = run("train.py", CHECKPOINTS=tmp_path / "loop")
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"checkpoints: .*levels of symbolic links.*\n", done.stderr)


def test_diverged_training_fails_and_publishes_nothing(tmp_path: Path) -> None:
    done = run("train.py", "learning-rate=1e30", CHECKPOINTS=tmp_path)
    assert done.returncode == 1
    assert re.search(r"loss is nan at step \d+: lower LEARNING_RATE", done.stderr)
    assert newest_valid(tmp_path) is None


def test_evaluation_writes_the_metrics_of_the_checkpoint(tmp_path: Path, trained: Path) -> None:
    checkpoint, metrics = found(trained), tmp_path / "new" / "metrics.json"
    command = [str(DIGITS / "evaluate.sh")]
    environment = {**PLAIN, "CHECKPOINT": str(checkpoint.path), "METRICS": str(metrics)}
    subprocess.run(command, env=environment, check=True)
    written = json.loads(metrics.read_text())
    assert written == {**checkpoint.metrics, "step": 92, "samples": 360}
    assert written["accuracy"] > 0.9
    assert [path.name for path in metrics.parent.iterdir()] == ["metrics.json"]


def test_evaluation_refuses_a_torn_checkpoint_and_writes_nothing(
    tmp_path: Path, trained: Path
) -> None:
    torn = tmp_path / "step-00000092"
    shutil.copytree(found(trained).path, torn)
    (torn / "model.safetensors").write_bytes(b"torn")
    done = run("evaluate.py", CHECKPOINT=torn, METRICS=tmp_path / "metrics.json")
    assert done.returncode == 1
    assert re.fullmatch(
        r"evaluate\.py: checkpoint not evaluated: .*model\.safetensors.*\n", done.stderr
    )
    assert not (tmp_path / "metrics.json").exists()


def test_evaluation_without_its_settings_names_the_variable(tmp_path: Path) -> None:
    done = run("evaluate.py", CHECKPOINT=tmp_path)
    expected = (
        "evaluate.py: environment METRICS is not set: give the path of the JSON file to write\n"
    )
    assert (done.returncode, done.stderr) == (2, expected)


@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed")
def test_torch_twin_resumes_exactly_and_is_evaluated(tmp_path: Path) -> None:
    said = preempt("train_torch.py", tmp_path / "cut", after=r"epoch 1/4")
    assert "checkpoint saved" in said
    for root in ("cut", "whole"):
        done = run("train_torch.py", "epochs=4", CHECKPOINTS=tmp_path / root)
        assert done.returncode == 0, done.stderr
    one, other = found(tmp_path / "cut"), found(tmp_path / "whole")
    assert one.metrics == other.metrics
    assert_same_files(one.path, other.path)
    done = run("evaluate.py", CHECKPOINT=one.path, METRICS=tmp_path / "metrics.json")
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "metrics.json").read_text())["step"] == 92
