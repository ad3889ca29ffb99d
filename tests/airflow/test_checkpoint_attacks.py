"""A training that lays out its storage so that the worker reads, writes or removes somebody else's files."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints.keeping.leases import leased
from airflow_runai.errors import InvalidArgument, MetricsError
from airflow_runai.operators.checkpoint import RunaiSelectCheckpointOperator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.retention import RunaiCheckpointRetentionOperator
from airflow_runai.tasks.locations import location, small_file, untrusted_below
from airflow_runai.tasks.metrics_file import read_metrics
from tests.airflow.running import Run, dag_of
from tests.airflow.test_checkpoints import CONTAINER, publish, result_of, root, write

__all__ = ["root"]  # a fixture

Runner = Callable[..., Run]
KEY = {"private_key": "-----BEGIN PRIVATE KEY-----", "project_id": "p", "accuracy": 0.99}
PATHS = {"/shared": "{{ var.value.runai_shared }}"}


@pytest.fixture
def key(tmp_path: Path) -> Path:
    """Another file of the worker, of which nothing may be seen and which must stay as it is."""
    (tmp_path / "secrets").mkdir()
    key = tmp_path / "secrets" / "key.json"
    key.write_text(json.dumps(KEY))
    return key


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    (tmp_path / "mnt" / "run").mkdir(parents=True)
    return tmp_path / "mnt"


def evaluating(command: str, **given: Any) -> Callable[[], RunaiEvaluationOperator]:
    spec = {**CONTAINER, "command": f"sh -c '{command}'"}
    known = {
        "checkpoint": {"path": "/shared/ckpt/step-00000001"},
        "metrics": "/shared/eval/metrics.json",
    }
    return lambda: RunaiEvaluationOperator(
        **{"task_id": "task", "spec": spec, "path_map": PATHS, **known, **given}
    )


# -- A1: metrics that are a link
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("gates", [[], ["accuracy >= 0.9"]])
def test_metrics_that_are_a_link_show_nothing_of_the_file_behind_it(
    run: Runner, emulator: object, root: Path, key: Path, gates: list[str]
) -> None:
    command = f'mkdir -p "${{METRICS%/*}}" && ln -s {key} "$METRICS"'
    done = run(dag_of(evaluating(command, gates=gates)))
    assert done.state == "failed"
    assert "metrics.json: cannot be read: is a link; links are not followed here" in done.words
    assert "PRIVATE" not in done.words
    assert "private_key" not in done.words
    assert done.xcom() is None
    assert json.loads(key.read_text()) == KEY


def link_to_link(place: Path, key: Path) -> None:
    (place.parent / "a").symlink_to(key)
    place.symlink_to("a")


def linked_directory(place: Path, key: Path) -> None:
    place.parent.rmdir()
    place.parent.symlink_to(key.parent)


LAID: dict[str, Callable[[Path, Path], object]] = {
    "link to a file": lambda place, key: place.symlink_to(key),
    "link to a link": link_to_link,
    "loop": lambda place, key: place.symlink_to(place.name),
    "device": lambda place, key: place.symlink_to("/dev/zero"),
    "fifo": lambda place, key: os.mkfifo(place),
    "directory": lambda place, key: place.mkdir(),
    "directory that is a link": linked_directory,
    "text": lambda place, key: place.write_text(json.dumps(KEY)),
    "nested": lambda place, key: place.write_text('{"private_key": {"a": "PRIVATE"}}'),
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", LAID)
def test_whatever_lies_in_place_of_metrics_is_told_and_not_shown(
    mounted: Path, key: Path, kind: str
) -> None:
    LAID[kind](mounted / "run" / "key.json", key)
    with pytest.raises(MetricsError) as caught:
        read_metrics("/ckpt/run/key.json", {"/ckpt": str(mounted)})
    assert "PRIVATE" not in str(caught.value)
    assert str(mounted) in str(caught.value)
    assert ("is a " in str(caught.value)) or "'private_key' is" in str(caught.value)


def test_metrics_on_a_local_uri_are_looked_at_in_the_same_way(mounted: Path, key: Path) -> None:
    (mounted / "m.json").symlink_to(key)
    for scheme in ("file", "local", "FILE"):
        with pytest.raises(MetricsError, match="is a link"):
            read_metrics("/ckpt/m.json", {"/ckpt": f"{scheme}://{mounted}"})
        with pytest.raises(MetricsError, match="is a link"):
            read_metrics(f"{scheme}://{mounted}/m.json", None)


# -- A2: two dots
# ------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize(
    "path", ["/shared/eval/../../secrets/key.json", "/else/../secrets/key.json", "../key.json"]
)
def test_a_path_that_leads_out_removes_nothing_and_submits_nothing(
    run: Runner, emulator: Any, root: Path, key: Path, path: str
) -> None:
    done = run(dag_of(evaluating("true", metrics=path, retries=2)))
    assert done.state == "failed"
    assert done.task().try_number == 1
    assert "path: " in done.words
    assert "'..'" in done.words
    assert emulator.workloads_named("") == []
    assert key.exists()


@pytest.mark.parametrize(
    "path", ["/ckpt/a\0b", "\0", "/ckpt/\ud83d", "/ckpt/../x", " ", "/ckpt/a/../../../etc/passwd"]
)
def test_what_is_no_path_is_an_error_that_shows_it(mounted: Path, path: str) -> None:
    for read in (location, small_file):
        with pytest.raises(InvalidArgument, match="path: '"):
            read(path, {"/ckpt": str(mounted)})


@pytest.mark.slow
def test_an_earlier_file_is_removed_by_its_own_name_only(
    run: Runner, emulator: object, root: Path, key: Path
) -> None:
    (root.parent / "eval").mkdir()
    (root.parent / "eval" / "metrics.json").symlink_to(key)
    done = run(dag_of(evaluating(write('{"accuracy": 1}'))))
    assert done.state == "success", done.words
    assert json.loads(key.read_text()) == KEY
    (root.parent / "eval" / "metrics.json").unlink()
    (root.parent / "eval").rmdir()
    key.rename(key.with_name("metrics.json"))
    (root.parent / "eval").symlink_to(key.parent)
    done = run(dag_of(evaluating("true")))
    assert "an earlier file cannot be removed: is a link" in done.words
    assert key.with_name("metrics.json").exists()


# -- A3 to A5: the operators
# -------------------------------------------------------------------------------------------
@pytest.mark.slow
def test_no_operator_follows_a_link_below_the_mapped_root(
    run: Runner, database: None, root: Path, tmp_path: Path
) -> None:
    theirs = tmp_path / "theirs"
    for step in (1, 2, 3):
        publish(theirs, step)
    os.truncate(theirs / "step-00000003" / "model.safetensors", 100)
    root.symlink_to(theirs)
    before = sorted(path.name for path in theirs.rglob("*"))
    refused = {
        "retention": lambda: RunaiCheckpointRetentionOperator(
            task_id="task", root="/shared/ckpt", path_map=PATHS, keep_last=1, min_age_seconds=0
        ),
        "report": lambda: RunaiSelectCheckpointOperator(
            task_id="task",
            root="/shared/ckpt",
            path_map=PATHS,
            report_path="/shared/ckpt/report.json",
        ),
        "promotion": lambda: RunaiPromoteCheckpointOperator(
            task_id="task",
            champion="/shared/ckpt/champion.json",
            path_map=PATHS,
            evaluation=result_of(1),
        ),
    }
    for name, operator in refused.items():
        done = run(dag_of(operator))
        assert done.state == "failed", name
        assert "ckpt: is a link; links are not followed here" in done.words, name
    done = run(
        dag_of(
            lambda: RunaiSelectCheckpointOperator(
                task_id="task", root="/shared/ckpt", path_map=PATHS, on_invalid="quarantine"
            )
        )
    )
    assert done.xcom()["step"] == 2
    assert "quarantined" not in done.xcom()["refused"][0]
    assert sorted(path.name for path in theirs.rglob("*")) == before


@pytest.mark.slow
def test_an_evaluation_writes_no_lease_elsewhere(
    run: Runner, emulator: object, root: Path, tmp_path: Path
) -> None:
    publish(root, 1)
    (tmp_path / "theirs").mkdir()
    (root / ".leases").symlink_to(tmp_path / "theirs")
    done = run(
        dag_of(evaluating(f'mkdir -p "${{METRICS%/*}}"; {write(json.dumps({"accuracy": 1}))}'))
    )
    assert done.state == "success", done.words
    assert list((tmp_path / "theirs").iterdir()) == []
    with pytest.raises(OSError, match="is a link"):
        leased(root, now=0)


# -- names that Airflow could not take
# ---------------------------------------------------------------------------------
@pytest.mark.slow
def test_odd_names_of_files_harm_nobody(run: Runner, database: None, root: Path) -> None:
    for step in (1, 2, 3, 4):
        publish(root, step)
    torn = root / "step-00000004"
    os.truncate(torn / "model.safetensors", 100)
    (torn / "model.safetensors").rename(torn / "odd\udcff\x1b[31m\n.safetensors")
    (root / "step-00000001").rename(root / "step-00000001\udcff")

    def choosing() -> RunaiSelectCheckpointOperator:
        return RunaiSelectCheckpointOperator(task_id="task", root="/shared/ckpt", path_map=PATHS)

    done = run(dag_of(choosing))
    assert done.state == "success", done.words
    assert done.xcom()["step"] == 3
    assert [refused["path"][-8:] for refused in done.xcom()["refused"]] == ["00000004"]
    assert all(refused["reasons"].isprintable() for refused in done.xcom()["refused"])
    done = run(
        dag_of(
            lambda: RunaiCheckpointRetentionOperator(
                task_id="task", root="/shared/ckpt", path_map=PATHS, keep_last=1, min_age_seconds=0
            )
        )
    )
    assert done.xcom()["removed"] == ["step-00000002", "step-00000001\N{REPLACEMENT CHARACTER}"]
    shutil.copytree(root / "step-00000003", root / "step-00000003\udcff")
    shutil.rmtree(root / "step-00000003")
    done = run(dag_of(choosing))
    assert (
        "step-00000003\\udcff': is valid, but its name contains unprintable characters; rename it"
        in done.words
    )


# -- where trust ends
# --------------------------------------------------------------------------------------------------
def test_trust_ends_at_the_end_of_the_map_or_at_the_mount(tmp_path: Path) -> None:
    assert untrusted_below("/ckpt/a/b", {"/ckpt": "/mnt/nfs", "/ckpt/a": "/mnt/a/"}) == Path(
        "/mnt/a"
    )
    assert untrusted_below("/ckpt/a", {"/ckpt": "file:///mnt/nfs"}) == Path("/mnt/nfs")
    assert untrusted_below("/ckpt/a", {"/ckpt": "s3://bucket/x"}) is None
    assert untrusted_below("s3://bucket/x/a", None) is None
    assert untrusted_below("relative/a", None) is None
    assert untrusted_below("/", None) is None
    (tmp_path / "real" / "deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    assert untrusted_below(str(tmp_path / "link" / "deep" / "x"), None) in (
        tmp_path / "link",
        *tmp_path.parents,
    )
    if os.path.ismount("/dev/shm"):
        assert untrusted_below("/dev/shm/a/b", None) in (Path("/dev"), Path("/dev/shm"))
