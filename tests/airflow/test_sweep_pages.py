"""The pages about sweeps: what stands there is run, and does what they say."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.core.command_line import parse_command
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.emulator import Emulator
from airflow_runai.emulator.records import EmulatedWorkload
from docs.sweep_picture import rows
from tests.airflow.conftest import ROOT
from tests.airflow.running import Run

Runner = Callable[..., Run]
#: What a training of the page must have in common with the line that it replaces.
SAME = ("image", "workingDir", "compute", "storage")


FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(name: str, category: str) -> list[str]:
    text = (ROOT / "docs" / name).read_text()
    return [block for kind, block in FENCE.findall(text) if kind == category]


def dag_of(name: str, dag_id: str, folder: Path) -> Any:
    from airflow.dag_processing.dagbag import DagBag

    (source,) = (text for text in blocks(name, "python dag") if f'DAG("{dag_id}"' in text)
    file = folder / f"{dag_id}.py"
    file.write_text(source)
    bag = DagBag(str(file))
    assert bag.import_errors == {}
    return bag.dags[dag_id]


def told(chosen: dict[str, Any]) -> list[str]:
    """What the log of ``best`` says, without the digits of scores."""
    names = [f"{row['name']}: #" for row in chosen["trials"]]
    best = " ".join(f"{name}={value}" for name, value in chosen["parameters"].items())
    return [*names, f"best: {best}"]


@pytest.mark.slow
def test_first_sweep_runs_what_the_two_lines_would(
    run: Runner, emulator: Emulator, tmp_path: Path
) -> None:
    done = run(dag_of("first-sweep.md", "first_sweep", tmp_path))
    assert done.state == "success", done.words
    lines = "".join(blocks("first-sweep.md", "console")).splitlines()
    assert len(lines) == 2
    asked = [_wire(parse_command(line).spec) for line in lines]
    trained = emulator.workloads_named("learning-rate")
    by_trial = sorted((w for w in trained if w.spec["command"] == "./startup.sh"), key=_slug)
    assert [_same(w.spec) for w in by_trial] == asked
    assert [_slug(w) for w in by_trial] == ["learning-rate-0-002", "learning-rate-0-02"]
    printed = next(text for text in blocks("first-sweep.md", "") if "best: " in text)
    shown = re.sub(r": [\d.]+$", ": #", printed, flags=re.MULTILINE).splitlines()
    assert shown == told(done.xcom(task_id="sweep.best"))


def _wire(spec: dict[str, Any]) -> dict[str, Any]:
    return _same(WorkloadSpec.from_mapping(spec).to_wire()["spec"])


def _same(spec: dict[str, Any]) -> dict[str, Any]:
    words = f"{spec['command']} {spec.get('args', '')}".split()
    return {"words": words, **{name: spec[name] for name in SAME}}


def _slug(workload: EmulatedWorkload) -> str:
    return workload.name.rsplit("-", 2)[0]


@pytest.mark.qualify
def test_picture_shows_what_the_second_sweep_does(
    run: Runner, emulator: Emulator, shared: Path, tmp_path: Path
) -> None:
    done = run(dag_of("first-sweep.md", "second_sweep", tmp_path))
    assert done.state == "success", done.words
    found = done.xcom(task_id="sweep.best")["trials"]
    facts = ("trial", "name", "parameters", "rank")
    assert [[row[key] for key in facts] for row in found] == [
        [row[key] for key in facts] for row in rows()
    ]
    assert [row["score"] for row in found[:3]] == pytest.approx(
        [row["score"] for row in rows()[:3]], abs=0.02
    )
    assert "did not pass" in found[3]["problem"] or "did not succeed" in found[3]["problem"]
    assert (shared / "champion.json").exists()


@pytest.mark.qualify
def test_own_set_trains_in_a_folder_for_each_pod(
    run: Runner, emulator: Emulator, shared: Path, tmp_path: Path
) -> None:
    script = next(text for text in blocks("sweeps.md", "") if text.startswith("#!"))
    (shared / "code" / "trial.sh").write_text(script)
    (shared / "code" / "trial.sh").chmod(0o755)
    done = run(dag_of("sweeps.md", "own_set", tmp_path))
    assert done.state == "success", done.words
    (workload,) = emulator.world.workloads.values()
    assert sorted(pod.index for pod in workload.pods) == [0, 1, 2]
    folders = sorted((shared / "runs" / done.run_id).iterdir())
    assert [folder.name for folder in folders] == ["0", "1", "2"]
    assert all(list(folder.glob("step-*")) for folder in folders)
    assert done.xcom(task_id="train")["interruptions"] == 0


def test_pool_of_the_page_counts_deferred_tasks(database: None, tmp_path: Path) -> None:
    from airflow.cli.cli_parser import get_parser
    from airflow.models.pool import Pool

    (command,) = "".join(blocks("sweeps.md", "bash")).splitlines()
    arguments = get_parser().parse_args(shlex.split(command)[1:])
    arguments.func(arguments)
    dag = dag_of("sweeps.md", "pooled_sweep", tmp_path)
    (name,) = {dag.get_task(f"sweep.trial.{step}").pool for step in ("train", "evaluate")}
    made, default = Pool.get_pool(name), Pool.get_default_pool()
    assert made is not None
    assert default is not None
    assert (made.include_deferred, default.include_deferred) == (True, False)
