"""Promotions and rollbacks as tasks: compared with the champion, never backwards unnoticed, told by events."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import Asset
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]  # has no types

from airflow_runai.checkpoints import check
from airflow_runai.checkpoints.keeping.champion import write_champion
from airflow_runai.checkpoints.keeping.champion_history import ChampionHistory
from airflow_runai.emulator import Emulator
from airflow_runai.operators.evaluation import RunaiEvaluationOperator
from airflow_runai.operators.promotion import RunaiPromoteCheckpointOperator
from airflow_runai.operators.rollback import RunaiRollbackChampionOperator
from airflow_runai.training import preemptible
from tests.airflow.running import Run, clear, dag_of, event_of
from tests.airflow.test_checkpoints import evaluating, publish, result_of, write
from tests.checkpoints.object_store import needs_server, running_store, s3

Runner = Callable[..., Run]
NOON = datetime(2026, 1, 1, 12, tzinfo=timezone.utc)
COMPARED = ["accuracy >= champion.accuracy - 0.002"]


@pytest.fixture
def pointer(tmp_path: Path) -> Path:
    return tmp_path / "shared" / "champion.json"


def promoting(
    evaluation: Any, pointer: Path, **given: Any
) -> Callable[[], RunaiPromoteCheckpointOperator]:
    known = {"task_id": "task", "champion": str(pointer), "evaluation": evaluation, "retries": 1}
    return lambda: RunaiPromoteCheckpointOperator(**{**known, **given})


def back(pointer: Path, **given: Any) -> Callable[[], RunaiRollbackChampionOperator]:
    known = {"task_id": "task", "champion": str(pointer), "retries": 1}
    return lambda: RunaiRollbackChampionOperator(**{**known, **given})


def judged_against(step: int | None) -> dict[str, Any]:
    if step is None:
        return {"champion": None}
    checkpoint: dict[str, Any] = result_of(step)["checkpoint"]
    return {"champion": {**checkpoint, "metrics": {"accuracy": 0.5}}}


def present(pointer: Path) -> Any:
    return json.loads(pointer.read_text())


@pytest.mark.parametrize("judged", [None, 1])
def test_what_was_judged_against_another_champion_is_not_promoted(
    run: Runner, database: None, pointer: Path, judged: int | None
) -> None:
    for step in (1, 2):
        run(dag_of(promoting(result_of(step), pointer)))
    done = run(dag_of(promoting(result_of(3, **judged_against(judged)), pointer)))
    assert done.state == "failed"
    named = "no champion" if judged is None else "/w/1"
    assert f"judged against {named}, but /w/2 is the champion now; evaluate again" in done.words
    assert done.task().try_number == 1
    assert present(pointer)["step"] == 2


def test_what_was_judged_against_the_champion_is_promoted(
    run: Runner, database: None, pointer: Path
) -> None:
    assert run(dag_of(promoting(result_of(1, **judged_against(None)), pointer))).state == "success"
    assert run(dag_of(promoting(result_of(2, **judged_against(1)), pointer))).state == "success"
    assert (present(pointer)["step"], present(pointer)["number"]) == (2, 2)


@pytest.mark.slow
def test_a_former_champion_needs_an_argument(run: Runner, database: None, pointer: Path) -> None:
    for step in (1, 2):
        run(dag_of(promoting(result_of(step), pointer)))
    done = run(dag_of(promoting(result_of(1), pointer)))
    assert "/w/1 was the champion before (number 1) and /w/2 has replaced it" in done.words
    assert done.task().try_number == 1
    done = run(dag_of(promoting(result_of(1), pointer, allow_older="{{ 'true' }}")))
    assert done.state == "success", done.words
    assert (present(pointer)["step"], present(pointer)["number"]) == (1, 3)
    done = run(dag_of(promoting(result_of(5), pointer, allow_older="{{ 'perhaps' }}")))
    assert "allow_older: 'perhaps'; allowed: true or false" in done.words


def test_an_older_run_needs_an_argument(run: Runner, database: None, pointer: Path) -> None:
    run(dag_of(promoting(result_of(1), pointer)), at=NOON)
    older = NOON - timedelta(hours=1)
    done = run(dag_of(promoting(result_of(2), pointer)), at=older)
    assert "its DAG run is of 2026-01-01 11:00:00+00:00, older than that of" in done.words
    assert present(pointer)["step"] == 1
    done = run(dag_of(promoting(result_of(2), pointer, allow_older=True)), at=older)
    assert done.state == "success", done.words
    assert present(pointer)["step"] == 2


def overtaken_by(winner: dict[str, Any], pointer: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let another promotion come first, at the last moment."""
    history, link = ChampionHistory(pointer), os.link

    def overtaken(*ends: Any, **more: Any) -> None:
        monkeypatch.setattr(os, "link", link)
        history.append(winner, history.present())
        link(*ends, **more)

    monkeypatch.setattr(os, "link", overtaken)


def test_of_two_promotions_at_once_the_other_says_so(
    run: Runner, database: None, pointer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(dag_of(promoting(result_of(1), pointer)))
    overtaken_by({"uri": "/w/fast"}, pointer, monkeypatch)
    done = run(dag_of(promoting(result_of(3), pointer)))
    assert "/w/fast was promoted at the same time (number 2)" in done.words
    assert done.task().try_number == 1
    assert present(pointer)["uri"] == "/w/fast"


def test_of_two_promotions_of_the_same_both_succeed(
    run: Runner, database: None, pointer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(dag_of(promoting(result_of(1), pointer)))
    overtaken_by(result_of(3)["checkpoint"], pointer, monkeypatch)
    done = run(dag_of(promoting(result_of(3), pointer)))
    assert done.state == "success", done.words
    assert (present(pointer)["step"], present(pointer)["number"]) == (3, 2)


@pytest.mark.slow
def test_a_repeated_promotion_writes_the_pointer_that_a_crash_left_behind(
    run: Runner, database: None, pointer: Path
) -> None:
    for step in (1, 2):
        run(dag_of(promoting(result_of(step), pointer)))
    champion = present(pointer)
    write_champion(pointer, champion["previous"])
    done = run(dag_of(promoting(result_of(2), pointer, outlets=[Asset("champion_again")])))
    assert done.state == "success", done.words
    assert present(pointer) == champion
    assert event_of("champion_again")["digest"] == "sha256:2"


def test_the_event_names_checkpoint_metrics_and_producing_run(
    run: Runner, database: None, pointer: Path
) -> None:
    done = run(dag_of(promoting(result_of(4), pointer, outlets=[Asset("promoted")])), at=NOON)
    made_by = {"dag_id": "dag", "run_id": done.run_id, "task_id": "task"}
    assert event_of("promoted") == {
        "uri": "/w/4",
        "step": 4,
        "digest": "sha256:4",
        "metrics": {"accuracy": 0.4},
        "run": {**made_by, "run_after": NOON.timestamp()},
    }


WRONG = [
    ({"step": "four"}, "evaluation: step: 'four'"),
    ({"uri": "/w/\u202e4"}, "evaluation: uri: '/w/\\u202e4'; allowed"),
    ({"digest": 7}, "evaluation: digest: '7'"),
]


@pytest.mark.parametrize(("checkpoint", "words"), WRONG)
def test_what_is_no_result_of_ours_is_not_promoted(
    run: Runner, database: None, pointer: Path, checkpoint: dict[str, Any], words: str
) -> None:
    result = result_of(4)
    result["checkpoint"].update(checkpoint)
    done = run(dag_of(promoting(result, pointer)))
    assert words in done.words
    assert not pointer.exists()


def test_a_link_in_place_of_the_history_is_not_followed(
    run: Runner, database: None, pointer: Path, tmp_path: Path
) -> None:
    pointer.parent.mkdir()
    (tmp_path / "theirs").mkdir()
    Path(f"{pointer}.history").symlink_to(tmp_path / "theirs")
    paths = {"/shared": str(pointer.parent)}
    there = {"champion": "/shared/champion.json", "path_map": paths}
    done = run(dag_of(promoting(result_of(1), pointer, **there)))
    assert "champion.json.history: is a link; links are not followed here" in done.words
    assert done.task().try_number == 1
    assert list((tmp_path / "theirs").iterdir()) == []


def test_storage_that_cannot_tell_two_promotions_apart_is_refused_by_name(
    run: Runner, database: None
) -> None:
    from airflow.sdk.io import attach

    attach("memory", conn_id=None, fs=MemoryFileSystem())
    done = run(dag_of(promoting(result_of(1), Path("x"), champion="memory:///b/champion.json")))
    assert "memory storage without a conditional put: two promotions at once" in done.words
    assert done.task().try_number == 1


@pytest.mark.slow
@needs_server
def test_the_champion_may_lie_on_s3(
    run: Runner, database: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow.sdk.io import attach

    # Airflow keeps what is attached under a connection's name for as long as the process lives, so
    # the name is this test's own: under another's, a server would be asked that has ended.
    monkeypatch.setenv("AIRFLOW_CONN_CHAMPIONS", "aws://")
    place = "s3://models/champion.json"
    with running_store(tmp_path) as port:
        store = s3(port)
        store.mkdir("models")
        attach("s3", conn_id="champions", fs=store)
        there = {"champion": place, "storage_conn_id": "champions"}
        for step in (1, 2):
            done = run(dag_of(promoting(real(tmp_path / "ckpt", step), Path(place), **there)))
            assert done.state == "success", done.words
        done = run(dag_of(back(Path(place), level=2, **there)))
        assert done.state == "success", done.words
        assert json.loads(store.cat_file("models/champion.json")) == done.xcom()
        names = [Path(name).name for name in store.ls("models/champion.json.history")]
        assert sorted(names) == ["000001.json", "000002.json", "000003.json", "exclusive"]
        assert done.xcom()["step"] == 1


@pytest.mark.slow
def test_gates_compare_with_the_champion_and_the_result_says_with_which(
    run: Runner, emulator: Emulator, shared: Path, pointer: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_RUNAI_SHARED", str(shared))
    given = {"gates": COMPARED, "champion": "/shared/champion.json"}
    done = run(dag_of(evaluating(write('{"accuracy": 0.1}'), **given)))
    assert done.state == "success", done.words
    assert (done.xcom()["passed"], done.xcom()["champion"]) == (True, None)
    run(dag_of(promoting(result_of(9), pointer)))
    done = run(dag_of(evaluating(write('{"accuracy": 0.897}'), **given)))
    assert "accuracy is 0.897 against 0.898, the gate asks for" in done.words
    done = run(dag_of(evaluating(write('{"accuracy": 0.898}'), **given)))
    assert done.state == "success", done.words
    assert done.xcom()["champion"] == {
        "uri": "/w/9",
        "step": 9,
        "digest": "sha256:9",
        "metrics": {"accuracy": 0.9},
    }


def _corrupt(pointer: Path) -> None:
    pointer.write_text("{")


def _without_the_metric(pointer: Path) -> None:
    write_champion(pointer, {"uri": "/w/1", "metrics": {"loss": 1}})


def _nan(pointer: Path) -> None:
    pointer.write_text('{"uri": "/w/1", "metrics": {"accuracy": NaN}}')


BAD_CHAMPIONS = {
    "champion.json: is no champion pointer": _corrupt,
    "gate on 'champion.accuracy': the champion has no such number": _without_the_metric,
    "champion.json: is no champion pointer; move": _nan,
}


@pytest.mark.slow
@pytest.mark.parametrize("words", BAD_CHAMPIONS)
def test_a_champion_that_cannot_be_compared_with_costs_no_evaluation(
    run: Runner,
    emulator: Emulator,
    shared: Path,
    pointer: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: str,
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_RUNAI_SHARED", str(shared))
    BAD_CHAMPIONS[words](pointer)
    done = run(dag_of(evaluating("true", gates=COMPARED, champion="/shared/champion.json")))
    assert words in done.words
    assert emulator.workloads_named("") == []


def test_gates_that_compare_need_a_champion_when_the_dag_is_parsed() -> None:
    with pytest.raises(ValueError, match="champion: None, but a gate compares with the champion"):
        evaluating("true", gates=COMPARED)()
    assert isinstance(evaluating("true", gates=["{{ 'x' }}"])(), RunaiEvaluationOperator)


# -- rollback
def real(root: Path, step: int) -> dict[str, Any]:
    """The result of an evaluation of a checkpoint that exists."""
    report = check(publish(root, step), level=2)
    checkpoint = {"uri": report.path, "step": step, "digest": report.digest, "path": f"/s/{step}"}
    return {"checkpoint": checkpoint, "metrics": {"accuracy": step / 10}, "passed": True}


@pytest.fixture
def three(run: Runner, database: None, pointer: Path) -> list[Any]:
    """Three champions, one after the other, and the pointer's content of each."""
    found = []
    for step in (1, 2, 3):
        done = run(dag_of(promoting(real(pointer.parent / "ckpt", step), pointer)))
        assert done.state == "success", done.words
        found.append(done.xcom())
    return found


@pytest.mark.slow
def test_a_rollback_makes_the_champion_before_the_champion_again(
    run: Runner, pointer: Path, three: list[Any]
) -> None:
    done = run(dag_of(back(pointer, level=2, outlets=[Asset("rolled_back")])))
    assert done.state == "success", done.words
    now = present(pointer)
    assert done.xcom() == now
    told = ("uri", "step", "digest", "metrics", "run")
    assert {key: now[key] for key in told} == {key: three[1][key] for key in told}
    assert event_of("rolled_back") == {key: three[1][key] for key in told}
    assert (now["number"], now["previous"]["step"]) == (4, 3)
    asked = {"dag_id": "dag", "run_id": done.run_id, "task_id": "task", "map_index": -1}
    assert now["rollback"] == {"to": 2, "from": 3, "by": asked}
    clear(done)
    assert present(pointer) == now, "a repeated task rolled back once more"
    done = run(dag_of(back(pointer)))
    assert (done.xcom()["step"], done.xcom()["number"]) == (1, 5)


@pytest.mark.slow
def test_a_rollback_leads_to_the_number_that_is_named(
    run: Runner, pointer: Path, three: list[Any]
) -> None:
    done = run(dag_of(back(pointer, to="{{ 1 }}")))
    assert (done.xcom()["step"], done.xcom()["rollback"]["to"]) == (1, 1)
    again = run(dag_of(back(pointer, to=1)))
    assert again.xcom() == done.xcom()
    done = run(dag_of(back(pointer, to=9)))
    assert "to: 9; the history has: 1, 2, 3, 4" in done.words
    done = run(dag_of(back(pointer, to="{{ 'last' }}")))
    assert "to: 'last'; allowed: a whole number of at least 0" in done.words


@pytest.mark.slow
def test_a_task_that_is_cleared_with_another_number_goes_there(
    run: Runner, pointer: Path, three: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_VAR_BACK_TO", "2")
    done = run(dag_of(back(pointer, to="{{ var.value.back_to }}")))
    assert present(pointer)["step"] == 2
    monkeypatch.setenv("AIRFLOW_VAR_BACK_TO", "1")
    clear(done)
    assert present(pointer)["step"] == 1
    monkeypatch.setenv("AIRFLOW_VAR_BACK_TO", "2")
    clear(done)
    assert present(pointer)["step"] == 2
    run(dag_of(promoting(result_of(4), pointer)))
    clear(done)
    assert present(pointer)["step"] == 4, "a repeated task undid a promotion after it"


@pytest.mark.slow
def test_what_was_rolled_back_is_not_promoted_again_unnoticed(
    run: Runner, pointer: Path, three: list[Any]
) -> None:
    run(dag_of(back(pointer)))
    evaluation = {"checkpoint": three[2], "metrics": {}, "passed": True}
    done = run(dag_of(promoting(evaluation, pointer)))
    assert "was the champion before (number 3)" in done.words


@pytest.mark.slow
def test_a_checkpoint_that_is_gone_or_another_one_stays_where_it_is(
    run: Runner, pointer: Path, three: list[Any]
) -> None:
    before = pointer.read_bytes()
    second = Path(three[1]["uri"])
    shutil.rmtree(second)
    done = run(dag_of(back(pointer)))
    assert f"{second}: cannot be the champion again" in done.words
    with preemptible.save_checkpoint(second.parent, 2) as folder:
        (folder / "model.txt").write_text("of another training")
    done = run(dag_of(back(pointer, level=2)))
    assert "is not what was promoted: its digest is sha256:" in done.words
    assert pointer.read_bytes() == before


@pytest.mark.slow
def test_without_a_champion_or_one_before_it_nothing_is_rolled_back(
    run: Runner, database: None, pointer: Path
) -> None:
    done = run(dag_of(back(pointer)))
    assert "nothing was ever promoted" in done.words
    run(dag_of(promoting(result_of(1), pointer)))
    done = run(dag_of(back(pointer)))
    assert "there is no champion before /w/1; the history has: 1" in done.words
    assert done.task().try_number == 1
    with pytest.raises(ValueError, match="level: 7; allowed: 0"):
        back(pointer, level=7)()
