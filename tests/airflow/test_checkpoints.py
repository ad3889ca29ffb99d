"""Choosing, evaluating and promoting a checkpoint: what is refused, and what is left behind."""

from __future__ import annotations

import json
import os
import pickle
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import Asset, task
from safetensors.numpy import save_file

from airflow_runai.checkpoints.keeping.champion import write_champion
from airflow_runai.emulator import Emulator
from airflow_runai.errors import MetricsError
from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.tasks.metrics_file import read_metrics
from airflow_runai.training import preemptible
from tests.airflow.running import Run, dag_of, event_of, run_dag

Runner = Callable[..., Run]
MiB = 1024 * 1024


def publish(root: Path, step: int) -> Path:
    with preemptible.save_checkpoint(root, step) as folder:
        save_file({"w": np.full(100, step, np.float32)}, folder / "model.safetensors")
    return sorted(root.glob("step-*"))[-1]


def choosing(
    root: str = "/shared/ckpt", **given: Any
) -> Callable[[], RunaiSelectCheckpointOperator]:
    paths = {"/shared": "{{ var.value.runai_shared }}"}
    return lambda: RunaiSelectCheckpointOperator(
        **{"task_id": "task", "root": root, "path_map": paths, "retries": 1, **given}
    )


@pytest.fixture
def root(shared: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRFLOW_VAR_RUNAI_SHARED", str(shared))
    return shared / "ckpt"


def test_torn_newest_is_refused_and_the_previous_taken(run: Runner, root: Path) -> None:
    publish(root, 10)
    torn = publish(root, 20) / "model.safetensors"
    os.truncate(torn, 200)
    asset = Asset("chosen_checkpoint")
    done = run(dag_of(choosing(outlets=[asset])))
    assert done.state == "success", done.words
    result = done.xcom()
    assert result["step"] == 10
    assert result["path"] == f"/shared/ckpt/{Path(result['uri']).name}"
    assert result["uri"].startswith(str(root))
    assert [refused["verdict"] for refused in result["refused"]] == ["invalid"]
    assert event_of("chosen_checkpoint") == {**result, "refused": 1}


def test_on_object_storage_the_connection_is_no_part_of_the_names(run: Runner, root: Path) -> None:
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]  # has no types

    store = MemoryFileSystem()
    attach("memory", conn_id="store", fs=store)
    made = publish(root, 10)
    store.put(str(root), "/bucket/ckpt", recursive=True)
    found = choosing(path_map={"/shared": "memory:///bucket"}, storage_conn_id="store")
    done = run(dag_of(found))
    assert done.state == "success", done.words
    assert done.xcom()["path"] == f"/shared/ckpt/{made.name}"
    assert done.xcom()["uri"] == f"memory:///bucket/ckpt/{made.name}"


def test_hostile_pickle_is_not_run(run: Runner, root: Path, tmp_path: Path) -> None:
    class Hostile:
        def __reduce__(self) -> Any:
            return os.system, (f"touch {tmp_path}/canary",)

    root.mkdir()
    (root / "step-5.pt").write_bytes(pickle.dumps({"w": Hostile()}))
    done = run(dag_of(choosing(level=1)))
    assert done.state == "failed"
    assert "unsafe" in done.words
    assert not (tmp_path / "canary").exists()


def _missing(root: Path) -> None:
    pass


def _empty(root: Path) -> None:
    root.mkdir()


def _file(root: Path) -> None:
    root.write_text("x")


ROOTS = {"does not exist": _missing, "no checkpoint": _empty, "is a file": _file}


@pytest.mark.parametrize("words", ROOTS)
def test_a_root_without_checkpoints_is_told_at_once(run: Runner, root: Path, words: str) -> None:
    ROOTS[words](root)
    done = run(dag_of(choosing()))
    assert done.state == "failed"
    assert words in done.words
    assert str(root) in done.words
    assert done.task().try_number == 1


WRONG = [
    ("min_step", "{{ 'soon' }}", "min_step: 'soon'"),
    ("root", "{{ ' ' }}", "path: ' '"),
    ("root", "s4://bucket/runs", "path: 's4://bucket/runs' (Unsupported filesystem: 's4')"),
    ("path_map", ["/a"], "path_map: ['/a']; allowed: a mapping"),
]


@pytest.mark.parametrize(("name", "value", "words"), WRONG)
def test_wrong_arguments_are_named(
    run: Runner, root: Path, name: str, value: Any, words: str
) -> None:
    done = run(dag_of(choosing(**{name: value})))
    assert words in done.words
    assert done.task().try_number == 1


def test_too_old_is_not_taken(run: Runner, root: Path) -> None:
    publish(root, 10)
    assert run(dag_of(choosing(min_step="{{ 11 }}"))).state == "failed"
    assert run(dag_of(choosing(min_step="{{ 10 }}"))).state == "success"


CONTAINER = {
    "image": "x",
    "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
    "backoff_limit": 0,
}
GOOD = {"path": "/shared/ckpt/step-1", "uri": "file:///x/step-1", "step": 1, "digest": "sha256:00"}


def evaluating(writes: str, **given: Any) -> Callable[[], RunaiEvaluationOperator]:
    """
    An evaluation whose workload runs a shell command, with the path of its metrics in ``$METRICS``.
    """
    known = {
        "checkpoint": GOOD,
        "metrics": "/shared/{{ run_id }}.json",
        "gates": ["accuracy >= 0.9"],
    }
    paths = {"/shared": "{{ var.value.runai_shared }}"}
    spec = {**CONTAINER, "command": f"sh -c '{writes}'"}
    return lambda: RunaiEvaluationOperator(
        **{"task_id": "task", "spec": spec, "path_map": paths, **known, **given}
    )


def write(text: str) -> str:
    """A shell command that writes metrics; no quotes inside, they are those of the command."""
    return f'printf "%s" "{text}" > "$METRICS"'.replace('"' + text + '"', json.dumps(text))


@pytest.mark.slow
def test_evaluation_hands_on_checkpoint_and_metrics(run: Runner, emulator: Emulator) -> None:
    command = 'test "$CHECKPOINT" = /shared/ckpt/step-1 || test -n "$CHECKPOINT"; ' + write(
        '{"accuracy": 0.95}'
    )
    done = run(dag_of(evaluating(command)))
    assert done.state == "success", done.words
    result = done.xcom()
    assert (result["checkpoint"], result["metrics"]) == (GOOD, {"accuracy": 0.95})
    assert (result["gates"], result["passed"]) == (["accuracy >= 0.9"], True)


METRICS = {
    "missing": ("true", "missing; the evaluation must write its metrics"),
    "not JSON": (write("accuracy=1"), "not JSON"),
    "no object": (write("[1]"), "a JSON list"),
    "huge": ('truncate -s 1G "$METRICS"', "larger than 1048576 bytes"),
    "metric": (
        write('{"acuracy": 1}'),
        "gate on 'accuracy': the evaluation did not write this metric",
    ),
    "text": (write('{"accuracy": "high"}'), "'accuracy' is a text; allowed: printable names"),
}


@pytest.fixture(scope="module")
def imported(database: None) -> None:
    """What the first DAG run of a process imports, which takes seconds of processor time."""
    run_dag(dag_of(lambda: EmptyOperator(task_id="task"), dag_id="first"))


@pytest.mark.slow
@pytest.mark.usefixtures("imported")
@pytest.mark.parametrize("what", METRICS)
def test_bad_metrics_are_told_in_one_sentence(run: Runner, emulator: Emulator, what: str) -> None:
    writes, words = METRICS[what]
    began = time.process_time()
    done = run(dag_of(evaluating(writes)))
    assert done.state == "failed"
    assert words in done.words
    assert time.process_time() - began < 10


@pytest.mark.slow
@pytest.mark.parametrize(("choice", "state"), [("fail", "failed"), ("skip", "skipped")])
@pytest.mark.parametrize("value", ["0.5", "NaN"])
def test_a_gate_that_is_not_passed_fails_or_skips(
    run: Runner, emulator: Emulator, choice: str, state: str, value: str
) -> None:
    done = run(
        dag_of(evaluating(write(f'{{"accuracy": {value}}}'), on_gate_failure=choice, retries=2))
    )
    assert done.task().state == state
    assert done.task().try_number == 1
    assert done.xcom()["passed"] is False
    assert json.dumps(done.xcom()["metrics"], allow_nan=False)


def test_gates_are_checked_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="'accuracy => 1' cannot be read"):
        evaluating("true", gates=["accuracy => 1"])()
    with pytest.raises(ValueError, match="on_gate_failure: 'cry'"):
        evaluating("true", on_gate_failure="cry")()


def test_rendered_gates_are_checked_before_anything_is_submitted(
    run: Runner, emulator: Emulator
) -> None:
    done = run(dag_of(evaluating("true", gates=["{{ 'accuracy => 1' }}"], retries=2)))
    assert "'accuracy => 1' cannot be read" in done.words
    assert done.task().try_number == 1
    assert emulator.workloads_named("") == []


def test_an_evaluation_without_a_checkpoint_submits_nothing(
    run: Runner, emulator: Emulator
) -> None:
    done = run(dag_of(evaluating("true", checkpoint={"uri": "x"}, retries=2)))
    assert "checkpoint:" in done.words
    assert done.task().try_number == 1
    assert emulator.workloads_named("") == []


def result_of(step: int, **more: Any) -> dict[str, Any]:
    checkpoint = {
        "path": f"/s/{step}",
        "uri": f"/w/{step}",
        "step": step,
        "digest": f"sha256:{step}",
    }
    return {"checkpoint": checkpoint, "metrics": {"accuracy": step / 10}, "passed": True, **more}


def promoting(
    evaluation: Any, pointer: Path, **given: Any
) -> Callable[[], RunaiPromoteCheckpointOperator]:
    known = {"task_id": "task", "champion": str(pointer), "evaluation": evaluation, **given}
    return lambda: RunaiPromoteCheckpointOperator(**known)


@pytest.mark.slow
def test_promotion_keeps_the_previous_champion_and_repeats_without_change(
    run: Runner, database: None, tmp_path: Path
) -> None:
    pointer = tmp_path / "deep" / "champion.json"
    run(dag_of(promoting(result_of(1), pointer)))
    done = run(dag_of(promoting(result_of(2), pointer, outlets=[Asset("champion")])))
    assert done.state == "success"
    champion = json.loads(pointer.read_text())
    assert (champion["step"], champion["metrics"]) == (2, {"accuracy": 0.2})
    assert (champion["previous"]["step"], champion["previous"]["digest"]) == (1, "sha256:1")
    assert event_of("champion")["digest"] == "sha256:2"
    before = pointer.read_bytes()
    again = run(dag_of(promoting(result_of(2), pointer)))
    assert again.xcom() == champion
    assert pointer.read_bytes() == before
    assert sorted(p.name for p in pointer.parent.iterdir()) == [
        "champion.json",
        "champion.json.history",
    ]
    assert len(list((pointer.parent / "champion.json.history").iterdir())) == 2


def test_killed_between_write_and_rename_the_old_pointer_stays(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    write_champion(pointer, {"uri": "old"})
    child = os.fork()
    if child == 0:
        os.replace = lambda *a, **more: os._exit(9)
        write_champion(pointer, {"uri": "new"})
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    assert json.loads(pointer.read_text()) == {"uri": "old"}


REFUSED = {
    "no checkpoint": ({"metrics": {}}, "evaluation: has no checkpoint with a uri"),
    "text": ("{{ run_id }}", "evaluation: has no checkpoint with a uri"),
    "champion": (result_of(1, champion="x"), "evaluation: champion: 'x'; allowed: a mapping"),
    "gates": (result_of(1, passed=False), "did not pass its gates"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_must_not_be_promoted_is_not(
    run: Runner, database: None, tmp_path: Path, what: str
) -> None:
    evaluation, words = REFUSED[what]
    done = run(dag_of(promoting(evaluation, tmp_path / "champion.json", retries=2)))
    assert words in done.words
    assert done.task().try_number == 1
    assert list(tmp_path.glob("champion*")) == []


def test_some_other_file_is_never_overwritten(run: Runner, database: None, tmp_path: Path) -> None:
    other = tmp_path / "notes.json"
    other.write_text("[1, 2]")
    done = run(dag_of(promoting(result_of(1), other)))
    assert "is no champion pointer" in done.words
    assert other.read_text() == "[1, 2]"
    done = run(dag_of(promoting(result_of(1), tmp_path, retries=2)))
    assert f"{tmp_path}: is no champion pointer" in done.words
    assert done.task().try_number == 1


@pytest.mark.slow
def test_skipped_evaluation_skips_the_promotion(
    run: Runner, emulator: Emulator, tmp_path: Path
) -> None:
    from airflow.sdk import DAG

    with DAG("dag", schedule=None) as dag:
        judged = evaluating(write('{"accuracy": 0.1}'), on_gate_failure="skip")()
        promoting(judged.output, tmp_path / "champion.json", task_id="promote")()

        @task
        def unrelated() -> None:
            """Run besides."""

        unrelated()
    done = run(dag)
    assert done.task("promote").state == "skipped"
    assert not (tmp_path / "champion.json").exists()


def test_metrics_in_a_storage_that_does_not_answer_are_told_without_a_traceback(
    database: None,
) -> None:
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem

    class Silent(MemoryFileSystem):  # type: ignore[misc]  # has no types
        def _open(self, *_: Any, **__: Any) -> Any:
            raise RuntimeError("no answer from https://u:p@host/x?signature=7")

    attach("memory", conn_id="silent", fs=Silent(skip_instance_cache=True))
    with pytest.raises(
        MetricsError, match=r"cannot be read: RuntimeError: no answer from https://…@host/x\?…$"
    ):
        read_metrics("memory:///m.json", None, "silent")
