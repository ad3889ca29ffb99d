"""What operators remember of checkpoints, put aside and remove."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from airflow.sdk import Asset
from safetensors.numpy import save_file

from airflow_runai.checkpoints.keeping.champion import write_champion
from airflow_runai.checkpoints.keeping.leases import leased
from airflow_runai.emulator import Emulator
from airflow_runai.operators.retention import RunaiCheckpointRetentionOperator
from airflow_runai.training import preemptible
from tests.airflow.running import Run, dag_of, event_of, meanwhile
from tests.airflow.test_checkpoints import choosing, evaluating, publish, root
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
__all__ = ["root"]  # a fixture


def publish_tensors(folder: Path, step: int, **tensors: Any) -> Path:
    with preemptible.save_checkpoint(folder, step, metrics={"loss": 1 / step}) as made:
        save_file(
            {name: np.asarray(value, np.float32) for name, value in tensors.items()},
            made / "model.safetensors",
        )
    return folder / f"step-{step:08d}"


def retaining(**given: Any) -> Callable[[], RunaiCheckpointRetentionOperator]:
    paths = {"/shared": "{{ var.value.runai_shared }}"}
    known = {
        "task_id": "task",
        "root": "/shared/ckpt",
        "path_map": paths,
        "min_age_seconds": 0,
        **given,
    }
    return lambda: RunaiCheckpointRetentionOperator(**known)


# -- the report and its ledger
# -----------------------------------------------------------------------------------------
def test_the_ledger_of_one_selection_is_what_the_next_is_compared_with(
    run: Runner, root: Path
) -> None:
    asset, report = Asset("compared_checkpoint"), root.parent / "reports" / "train.json"
    choice = choosing(report_path="/shared/reports/train.json", outlets=[asset])
    publish_tensors(root, 1, a=[1.0, 2.0], b=[3.0])
    assert run(dag_of(choice)).xcom()["report"] == "/shared/reports/train.json"
    publish_tensors(root, 2, a=[1.5, 2.5], b=[3.5])
    publish_tensors(root, 3, a=[1.7, 2.7])
    done = run(dag_of(choice))
    assert done.state == "success", done.words
    (refused,) = done.xcom()["refused"]
    assert (
        "tensor 'b' was in the last accepted checkpoint and is not in this one"
        in refused["reasons"]
    )
    told = json.loads(report.read_text())
    assert (told["chosen"]["step"], told["rejected"][0]["step"], told["ledger"]["step"]) == (
        2,
        3,
        2,
    )
    assert told["chosen"]["metrics"] == {"loss": 0.5}
    assert told["ledger"]["tensors"]["model.safetensors"]["a"][-1] is True, "known to be trained"
    event = event_of("compared_checkpoint")
    assert {key: event[key] for key in ("uri", "step", "digest", "format")} == {
        "uri": str(root / "step-00000002"),
        "step": 2,
        "digest": told["chosen"]["digest"],
        "format": "published",
    }
    assert len(json.dumps(done.xcom())) < 2000


def test_where_nothing_passes_the_report_says_why_and_the_ledger_is_kept(
    run: Runner, root: Path
) -> None:
    report = root.parent / "report.json"
    choice = choosing(report_path="/shared/report.json")
    newest = publish(root, 1)
    run(dag_of(choice))
    ledger = json.loads(report.read_text())["ledger"]
    os.truncate(newest / "model.safetensors", 100)
    assert run(dag_of(choice)).state == "failed"
    told = json.loads(report.read_text())
    assert (told["chosen"], told["ledger"]) == (None, ledger)
    assert told["rejected"][0]["verdict"] == "invalid"


def test_a_report_that_is_none_is_not_overwritten(run: Runner, root: Path) -> None:
    publish(root, 1)
    (root.parent / "report.json").write_text('{"mine": 1}')
    done = run(dag_of(choosing(report_path="/shared/report.json", retries=2)))
    assert "is no checkpoint report" in done.words
    assert "move it away to begin a new ledger" in done.words
    assert done.task().try_number == 1
    assert (root.parent / "report.json").read_text() == '{"mine": 1}'


def test_what_is_expected_decides(run: Runner, root: Path) -> None:
    publish_tensors(root, 1, a=[1.0, 2.0], b=[3.0])
    publish_tensors(root, 2, a=[1.0])
    wanted: dict[str, Any] = {
        "tensors": {"a": {"dtype": "float32", "shape": [2]}, "b": None},
        "world_size": 1,
    }
    done = run(dag_of(choosing(requirements=wanted)))
    assert done.xcom()["step"] == 1
    assert "tensor 'a' has shape [1]; [2] is asked for" in done.xcom()["refused"][0]["reasons"]
    done = run(dag_of(choosing(requirements={**wanted, "not_behind": 2})))
    assert "the only checkpoint did not pass" in done.words


@pytest.mark.slow
def test_what_is_expected_may_stand_in_a_file_or_in_a_report(run: Runner, root: Path) -> None:
    publish_tensors(root, 1, a=[1.0, 2.0])
    run(dag_of(choosing(report_path="/shared/report.json")))
    publish_tensors(root, 2, a=[1.0])
    assert run(dag_of(choosing(requirements="/shared/report.json"))).xcom()["step"] == 1
    (root.parent / "requirements.json").write_text('{"not_behind": 3}')
    assert run(dag_of(choosing(requirements="/shared/requirements.json"))).state == "failed"
    (root.parent / "requirements.json").write_text('{"not_behind": ')
    done = run(dag_of(choosing(requirements="/shared/requirements.json", retries=2)))
    assert f"requirements: {root.parent}/requirements.json: Expecting value" in done.words
    assert done.task().try_number == 1


def test_a_file_of_expectations_that_cannot_be_read_now_may_be_read_later(
    run: Runner, root: Path
) -> None:
    publish_tensors(root, 1, a=[1.0])
    (root.parent / "requirements.json").mkdir()
    done = run(dag_of(choosing(requirements="/shared/requirements.json", retries=1)))
    assert (
        "CheckpointUnreadable: requirements: /shared/requirements.json: cannot be read (WrongKind"
        in done.words
    )
    assert done.task().try_number == 2
    done = run(dag_of(choosing(requirements="/shared/nothing.json", retries=1)))
    assert (
        "nothing.json: does not exist; a JSON object, or a checkpoint report, is expected"
        in done.words
    )
    assert done.task().try_number == 1


def test_that_no_report_can_be_written_is_told_before_anything_is_read(
    run: Runner, root: Path
) -> None:
    torn = publish(root, 1)
    os.truncate(torn / "model.safetensors", 100)
    (root.parent / "file").touch()
    done = run(dag_of(choosing(report_path="/shared/file/report.json")))
    assert "report_path: /shared/file/report.json cannot be used (WrongKind" in done.words
    assert "name a file in a folder that this worker may write to" in done.words
    assert "the only checkpoint" not in done.words


def test_a_storage_connection_that_is_not_there_is_named(run: Runner, root: Path) -> None:
    done = run(dag_of(choosing(root="memory:///nobodys", storage_conn_id="nobody", retries=2)))
    assert "storage_conn_id: 'nobody' is not a connection that Airflow can read" in done.words
    assert done.task().try_number == 1


# -- quarantine
# --------------------------------------------------------------------------------------------------------
def test_bad_ones_are_put_aside_where_asked_for(run: Runner, root: Path) -> None:
    publish(root, 10)
    os.truncate(publish(root, 20) / "model.safetensors", 100)
    assert "quarantined" not in run(dag_of(choosing())).xcom()["refused"][0]
    (refused,) = run(dag_of(choosing(on_invalid="quarantine"))).xcom()["refused"]
    assert refused["quarantined"] == str(root / "quarantine" / "step-00000020" / "step-00000020")
    assert run(dag_of(choosing())).xcom()["refused"] == []


def test_where_nothing_else_is_good_nothing_is_put_aside(run: Runner, root: Path) -> None:
    os.truncate(publish(root, 20) / "model.safetensors", 100)
    assert run(dag_of(choosing(on_invalid="quarantine"))).state == "failed"
    assert (root / "step-00000020").exists()


def test_on_object_storage_bad_ones_are_left_and_passed_over(run: Runner, root: Path) -> None:
    from airflow.sdk.io import attach
    from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]  # has no types

    store = MemoryFileSystem()
    attach("memory", conn_id="aside", fs=store)
    publish(root, 10)
    os.truncate(publish(root, 20) / "model.safetensors", 100)
    store.put(str(root), "/aside/ckpt", recursive=True)
    given: dict[str, Any] = {"path_map": {"/shared": "memory:///aside"}, "storage_conn_id": "aside"}
    done = run(
        dag_of(choosing(on_invalid="quarantine", report_path="/shared/report.json", **given))
    )
    assert done.state == "success", done.words
    assert done.xcom()["step"] == 10
    assert store.exists("/aside/ckpt/step-00000020/manifest.json")
    assert json.loads(store.cat("/aside/report.json"))["ledger"]["step"] == 10


def test_an_unknown_word_is_refused_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="on_invalid: 'delete'; allowed: 'keep' or 'quarantine'"):
        choosing(on_invalid="delete")()


# -- retention
# ---------------------------------------------------------------------------------------------------------
def test_old_ones_go_and_what_is_needed_stays_with_its_reason(run: Runner, root: Path) -> None:
    for step in range(1, 7):
        publish_tensors(root, step, a=[step])
    write_champion(root.parent / "champion.json", {"uri": "file:///elsewhere/step-00000002"})
    rules: dict[str, Any] = {"keep_last": 1, "keep_best": 1, "metric": "loss", "keep_names": ["*5"]}
    rules["champion"] = "/shared/champion.json"
    told = run(dag_of(retaining(dry_run=True, **rules))).xcom()
    assert len(list(root.glob("step-*"))) == 6
    done = run(dag_of(retaining(**rules)))
    assert done.xcom() == told
    assert told["removed"] == ["step-00000004", "step-00000003"]
    assert told["kept"]["step-00000001"] == "among the best 1 by loss"
    assert sorted(path.name for path in root.glob("step-*")) == [
        f"step-0000000{step}" for step in (1, 2, 5, 6)
    ]


RULES: list[tuple[dict[str, Any], str]] = [
    ({"keep_last": 0}, "keep_last: 0; allowed: a whole number from 1"),
    ({"keep_best": 1, "metric_mode": "most"}, "metric_mode: 'most'; allowed: 'max' or 'min'"),
    ({"keep_names": "step-1"}, "keep_names: 'step-1'; allowed: a list"),
    ({"keep_names": None}, "keep_names: None; allowed: a list"),
    ({"root": "/shared/nothing"}, "does not exist"),
]


@pytest.mark.parametrize(("given", "words"), RULES, ids=[words for _, words in RULES])
def test_wrong_rules_remove_nothing(
    run: Runner, root: Path, given: dict[str, Any], words: str
) -> None:
    publish(root, 1)
    done = run(dag_of(retaining(retries=2, **given)))
    assert words in done.words
    assert done.task().try_number == 1


@pytest.mark.slow
def test_what_is_being_evaluated_stays_until_that_is_over(
    run: Runner, emulator: Emulator, root: Path
) -> None:
    for step in (1, 2):
        publish(root, step)
    held: list[Any] = []
    checkpoint = {"path": "/shared/ckpt/step-00000001"}
    metrics = """sh -c 'until test -e /shared/go; do sleep 0.05; done; printf "%s" "{\\"accuracy\\": 1}" > "$METRICS"'"""
    spec = {
        "image": "x",
        "storage": {"pvc": [{"claim": "shared", "path": "/shared"}]},
        "command": metrics,
    }

    def look() -> None:
        held.append(wait_until(lambda: leased(root, now=0)))
        (root.parent / "go").touch()

    with meanwhile(look):
        done = run(dag_of(evaluating("true", checkpoint=checkpoint, spec=spec)))
    assert done.state == "success", done.words
    assert list(held[0]) == ["step-00000001"]
    assert "evaluation dag" in held[0]["step-00000001"]
    assert leased(root, now=0) == {}


def test_an_evaluation_that_is_never_submitted_holds_nothing(
    run: Runner, emulator: Emulator, root: Path
) -> None:
    publish(root, 1)
    checkpoint = {"path": "/shared/ckpt/step-00000001"}
    done = run(dag_of(evaluating("true", checkpoint=checkpoint, project="nobodys", retries=2)))
    assert "nobodys" in done.words
    assert done.task().try_number == 1
    assert (root / ".leases").is_dir()
    assert leased(root, now=0) == {}
