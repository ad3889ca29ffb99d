"""What a training on Kubernetes says until its pod is gone reaches the task log, each line once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.airflow.running import Run, dag_of, meanwhile
from tests.airflow.test_kubernetes_training import training, wait_for_pod
from tests.airflow.test_logs import log_lines
from tests.model.kubelet import Life
from tests.model.resources import PODS, Object
from tests.model.serving import ServedModel, served
from tests.model.store import Change

Runner = Callable[..., Run]
pytestmark = pytest.mark.slow
#: How much faster than ours the model's time passes; its grace of 30 s are 3 s of ours.
SPEED = 10.0


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedModel]:
    lives = iter([Life(run=1e9, on_sigterm=(25.0, 1)), Life(run=20.0)])
    with served(speed=SPEED, life_of=lambda pod: next(lives)) as running:
        connection = running.connection(project="team-b", runai_dialect="kai")
        monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)
        with running.lock:
            Speaking(running)
        yield running


class Speaking:
    """Containers that say what they do, also in the seconds between SIGTERM and their end."""

    def __init__(self, model: ServedModel) -> None:
        self._model = model
        self._said: set[tuple[str, str]] = set()
        model.cluster.store.listen(self._hear)

    def _hear(self, change: Change) -> None:
        pod = change.new
        if change.resource != PODS or pod is None:
            return
        statuses = (pod.get("status") or {}).get("containerStatuses") or [{"state": {}}]
        if "running" in statuses[0]["state"]:
            self._say(pod, "begins", 0.0)
        if "deletionTimestamp" in pod["metadata"]:
            for after in range(1, 25):
                self._say(pod, f"saving, part {after}", float(after))

    def _say(self, pod: Object, text: str, after: float) -> None:
        key = pod["metadata"]["uid"], text
        if key not in self._said:
            self._said.add(key)
            logs = self._model.cluster.server.logs
            self._model.clock.after(after, lambda: logs.write(pod, text))


WORDS = ["| begins", *(f"| saving, part {part}" for part in range(1, 25))]


@pytest.mark.parametrize(("get_logs", "deferrable"), [("tail", False), ("follow", True)])
def test_the_last_words_of_an_evicted_training_are_shown(
    run: Runner,
    model: ServedModel,
    capsys: pytest.CaptureFixture[str],
    get_logs: str,
    deferrable: bool,
) -> None:
    def reclaim() -> None:
        pod = wait_for_pod(model)
        with model.lock:
            model.cluster.kai.reclaim(pod)

    made = training(get_logs=get_logs, deferrable=deferrable, tail_on_success=True)
    with meanwhile(reclaim):
        done = run(dag_of(made))
    assert done.state == "success", done.words
    first, *before, second, last = log_lines(capsys)
    assert re.fullmatch(r"log of train-\S+, incarnation 1 on node-0:", first)
    assert before == WORDS
    assert re.fullmatch(r"log of train-\S+, incarnation 2 on node-0:", second)
    assert last == "| begins"
    assert model.cluster.server.logs.open == 0
    assert any("follow=true" in line for line in model.asked)
