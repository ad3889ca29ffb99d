"""What is wrong with a cluster or the connection to it: one sentence in the task's log, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.core.manifests.objects import MAX_SIZE
from airflow_runai.operators.training import RunaiTrainingOperator
from tests.airflow.running import Run, dag_of
from tests.airflow.task_logs import assert_readable
from tests.airflow.test_kubernetes_connection import kubeconfig, plugin
from tests.backends.kubernetes.certificates import issue
from tests.model.kubelet import Life
from tests.model.refusals import no_right_to_path
from tests.model.resources import JOBS, NAMESPACES, QUEUES
from tests.model.server import Answer, Asked, Server
from tests.model.serving import ServedModel, served

Runner = Callable[..., Run]
pytestmark = pytest.mark.slow
SPEC = {"image": "python:3.12", "compute": {"gpu_devices": 1}}
GANG = {"distributed": {"framework": "PyTorch", "workers": 1}}
TOKEN = "a-token-of-these-tests"


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[ServedModel]:
    """A cluster in fast motion, so that a refusal has soon lasted."""
    monkeypatch.setenv("AIRFLOW__RUNAI__SUBMISSION_PATIENCE", "0")
    with served(speed=100.0, life_of=lambda pod: Life(run=30.0)) as running:
        connect(running, monkeypatch)
        yield running


def connect(model: ServedModel, patch: pytest.MonkeyPatch, **extra: Any) -> None:
    connection = model.connection(**{"project": "team-b", "runai_dialect": "kai", **extra})
    patch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)


def train(run: Runner, **given: Any) -> Run:
    spec = {**SPEC, **given.pop("spec", {})}
    return run(dag_of(lambda: RunaiTrainingOperator(task_id="task", spec=spec, **given)))


def jobs(model: ServedModel) -> list[Any]:
    with model.lock:
        return list(model.cluster.store.all(JOBS))


Change = Callable[[Asked, Callable[[], Answer]], Answer]


def answering(server: Server, change: Change) -> None:
    """Let something between client and server change the answers."""
    answer = server.answer
    server.answer = lambda asked: change(asked, lambda: answer(asked))  # type: ignore[method-assign]


def forbid_all(server: Server) -> None:
    server.forbidden |= {(verb, "*") for verb in ("get", "list", "watch", "create")}


def be_anonymous(server: Server) -> None:
    def change(asked: Asked, answer: Callable[[], Answer]) -> Answer:
        return Answer(403, no_right_to_path("system:anonymous", "get", asked.path).body)

    answering(server, change)


def lack_sets(server: Server) -> None:
    def change(asked: Asked, answer: Callable[[], Answer]) -> Answer:
        found = answer()
        if asked.path != "/apis" or not isinstance(found.body, dict):
            return found
        left = [one for one in found.body["groups"] if one["name"] != "jobset.x-k8s.io"]
        return Answer(200, {**found.body, "groups": left})

    answering(server, change)


def know_no_sets(server: Server) -> None:
    def change(asked: Asked, answer: Callable[[], Answer]) -> Answer:
        is_create = asked.method == "POST" and asked.path.endswith("/jobsets")
        return Answer(404, "404 page not found\n") if is_create else answer()

    answering(server, change)


def expire_token(server: Server) -> None:
    server.tokens_are_bad = True


def fill(server: Server) -> None:
    server.most_jobs = 0


#: How the cluster is, what the task is given, and what its log says.
CLUSTERS: Mapping[str, tuple[Callable[[Server], None], dict[str, Any], str]] = {
    "forbidden namespace": (
        forbid_all,
        {},
        "let airflow list jobs.batch in namespace team-b (a Role and its RoleBinding)",
    ),
    "unknown queue": (
        lambda server: None,
        {"project": "nobody"},
        "project: 'nobody': the cluster has no queues of this name; name one that it has, or let "
        "an administrator make it",
    ),
    "unknown priority class": (
        lambda server: None,
        {"spec": {"priority": "no-such"}},
        "spec.priority: 'no-such': the cluster has no priorityclasses of this name; name one",
    ),
    "missing CRDs": (
        lack_sets,
        {"spec": GANG},
        "spec.distributed: the cluster serves no jobsets of jobset.x-k8s.io; install what brings",
    ),
    "404 as text": (
        know_no_sets,
        {"spec": GANG},
        "404 page not found') where",
    ),
    "expired token": (expire_token, {}, "its token or client certificate may have expired"),
    "no token": (
        be_anonymous,
        {},
        "no credentials arrived: check that the connection's kubeconfig names a user with a token",
    ),
    "quota of objects that stays full": (fill, {}, "exceeded quota: objects, requested: count/"),
    "1 MB": (
        lambda server: None,
        {"spec": {"environment": {"TEXT": "x" * MAX_SIZE}}},
        f"; allowed: {MAX_SIZE}; put it in a file",
    ),
}


@pytest.mark.parametrize("mistake", CLUSTERS)
def test_what_is_wrong_with_a_cluster_is_one_sentence_in_the_log(
    run: Runner, model: ServedModel, capfd: pytest.CaptureFixture[str], mistake: str
) -> None:
    prepare, given, sentence = CLUSTERS[mistake]
    with model.lock:
        prepare(model.cluster.server)
    words = assert_readable(train(run, **given), capfd)
    assert sentence in words
    assert TOKEN not in words
    assert jobs(model) == []


def test_a_namespace_that_is_being_deleted_takes_nothing(
    run: Runner, model: ServedModel, capfd: pytest.CaptureFixture[str]
) -> None:
    with model.lock:
        store = model.cluster.store
        home = store.get(NAMESPACES, "", "team-b")
        store.change(NAMESPACES, home, lambda one: one["metadata"].update(deletionTimestamp="now"))
    words = assert_readable(train(run), capfd)
    assert "is being terminated; use another namespace, or wait and make it again" in words


def test_a_local_queue_that_does_not_exist_is_named(
    run: Runner,
    model: ServedModel,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    connect(model, monkeypatch, runai_dialect="kueue", namespace="team-b", project="nobody")
    words = assert_readable(train(run), capfd)
    assert "project: 'nobody': the cluster has no localqueues of this name in namespace" in words


def test_a_queue_without_cpu_is_said_when_it_is_submitted(
    run: Runner, model: ServedModel, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING", "airflow_runai")
    with model.lock:
        queue = model.cluster.store.get(QUEUES, "", "team-b")
        limit = {"resources": {"cpu": {"limit": 0}}}
        model.cluster.store.change(QUEUES, queue, lambda one: one["spec"].update(limit))
    done = train(run, wait_for_completion=False)
    assert done.state == "success", done.words
    (words,) = [text for text in caplog.messages if "allows no CPU" in text]
    assert "queue team-b allows no CPU" in words


def kubeconfigs(folder: Path) -> Mapping[str, tuple[dict[str, Any], str]]:
    """Return kubeconfigs that lead nowhere, and what is said of them."""
    asking = plugin(folder, "true")
    asking["exec"]["interactiveMode"] = "Always"
    old = issue(folder, "old", days=-1)
    pair = {"client-certificate": str(old.certificate), "client-key": str(old.key)}
    return {
        "no current context": (
            {**kubeconfig({"token": TOKEN}), "current-context": ""},
            "names no current context",
        ),
        "plug-in that fails": (
            kubeconfig(plugin(folder, f"echo 'log in again, token={TOKEN}' >&2; exit 3")),
            "exec plug-in of the kubeconfig: process returned 3. log in again, token=***; run it",
        ),
        "plug-in with a terminal": (kubeconfig(asking), "asks for a terminal"),
        "expired certificate": (
            kubeconfig(pair),
            "client certificate of the kubeconfig: has expired on 20",
        ),
    }


@pytest.mark.parametrize(
    "mistake",
    ["no current context", "plug-in that fails", "plug-in with a terminal", "expired certificate"],
)
def test_what_is_wrong_with_a_kubeconfig_is_one_sentence_in_the_log(
    run: Runner,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
    mistake: str,
) -> None:
    config, sentence = kubeconfigs(tmp_path)[mistake]
    extra = {"kube_config": json.dumps(config), "project": "team-b"}
    connection = json.dumps({"conn_type": "kubernetes", "extra": extra})
    monkeypatch.setenv("AIRFLOW_CONN_RUNAI_DEFAULT", connection)
    words = assert_readable(train(run), capfd)
    assert words.startswith("ConnectionSettingsError: connection 'runai_default': ")
    assert sentence in words
    assert TOKEN not in words
    assert TOKEN not in caplog.text
