"""What a training on Kubernetes says until its pod is gone reaches the task log, each line once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.airflow.running import Run, dag_of, meanwhile
from tests.airflow.test_kubernetes_training import SPEC, jobs, running_pod, training, wait_for_pod
from tests.airflow.test_logs import log_lines
from tests.model.kubelet import Life
from tests.model.resources import PODS, Object
from tests.model.serving import ServedModel, served
from tests.support.waiting import wait_until

Runner = Callable[..., Run]
pytestmark = pytest.mark.slow
WORDS = ["begins", *(f"saving, part {part}" for part in range(1, 9))]


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedModel]:
    lives = iter([Life(run=1e9, on_sigterm=None), Life(run=20.0)])
    with served(life_of=lambda pod: next(lives)) as running:
        connection = running.connection(project="team-b", runai_dialect="kai")
        monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)
        yield running


def write(model: ServedModel, pod: Object, *texts: str) -> None:
    with model.lock:
        for text in texts:
            model.cluster.server.logs.write(pod, text)


def end(pod: Object) -> None:
    """Let the container of a pod end with exit code 1."""
    (status,) = pod["status"]["containerStatuses"]
    began = status["state"]["running"]["startedAt"]
    ended = {"exitCode": 1, "reason": "Error", "startedAt": began, "finishedAt": began}
    status["state"], pod["status"]["phase"] = {"terminated": ended}, "Failed"


def uid_of(pod: Object | None) -> str:
    return str(pod["metadata"]["uid"]) if pod else ""


@pytest.mark.parametrize(("get_logs", "deferrable"), [("tail", False), ("follow", True)])
def test_the_last_words_of_an_evicted_training_are_shown(
    run: Runner,
    model: ServedModel,
    capsys: pytest.CaptureFixture[str],
    get_logs: str,
    deferrable: bool,
) -> None:
    def reclaim() -> None:
        first = wait_for_pod(model)
        write(model, first, WORDS[0])
        with model.lock:
            model.cluster.kai.reclaim(first)
        # Its last words go with its pod, so it stays until somebody listens.
        wait_until(lambda: model.cluster.server.logs.open, "a stream")
        write(model, first, *WORDS[1:])
        with model.lock:
            where = first["metadata"]["namespace"], first["metadata"]["name"]
            store = model.cluster.store
            store.change(PODS, store.get(PODS, *where), end)
            model.cluster.deletion.end_grace(store.get(PODS, *where))
        wait_until(lambda: uid_of(running_pod(model)) not in ("", uid_of(first)), "the next pod")
        second = wait_for_pod(model)
        write(model, second, "begins again")

    spec = {**SPEC, "termination_grace_period": 600}
    made = training(spec=spec, get_logs=get_logs, deferrable=deferrable, tail_on_success=True)
    with meanwhile(reclaim):
        done = run(dag_of(made))
    assert done.state == "success", done.words
    (name,) = [one["metadata"]["name"] for one in jobs(model)]
    assert log_lines(capsys) == [
        f"log of {name}, incarnation 1 on node-0:",
        *(f"| {text}" for text in WORDS),
        f"log of {name}, incarnation 2 on node-0:",
        "| begins again",
    ]
    assert model.cluster.server.logs.open == 0
