"""What the extra of a `kubernetes` connection says of trainings, and what is made of it before and after it is used."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk import Connection

from airflow_runai.backends.hybrid import sent_to
from airflow_runai.backends.kubernetes.capacity.capacity import server_version
from airflow_runai.backends.settings import Settings
from airflow_runai.core.flow import Flow
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator
from airflow_runai.errors import ConnectionSettingsError
from airflow_runai.hooks import sessions
from airflow_runai.hooks.choice import settings_of
from airflow_runai.hooks.kubernetes_settings import ClusterConnection
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.hooks.sessions import session
from airflow_runai.links import workload_page
from tests.model.serving import served

SECRET = "a-token-that-is-hidden"


def read(conn_id: str = "gpu", **extra: Any) -> ClusterConnection:
    connection = Connection(conn_id=conn_id, conn_type="kubernetes", extra=json.dumps(extra))
    found = settings_of(connection)
    assert isinstance(found, ClusterConnection)
    return found


def test_the_extra_says_where_and_in_which_words() -> None:
    found = read(
        namespace="trainings",
        project="team-a",
        runai_dialect="kai",
        priority_classes={"high": "train"},
        service_account="trainer",
    )
    assert (found.project, found.cluster, found.url) == ("team-a", None, "")
    assert (found.trainings.namespace, found.trainings.dialect) == ("trainings", "kai")
    assert found.trainings.terms.priority_classes == {"high": "train"}
    assert found.trainings.terms.service_account == "trainer"


def test_a_namespace_for_all_names_the_default_project_too() -> None:
    assert read(namespace="trainings").project == "trainings"
    assert read().project is None


def test_equal_connections_are_one_key_and_others_are_not() -> None:
    kept: dict[str, Any] = {
        "kube_config": {"users": [{"token": SECRET}]},
        "priority_classes": {"high": "train"},
    }
    one, same = read(**kept), read("another-name", **kept)
    assert len({one, same}) == 1
    assert one != read(**{**kept, "namespace": "other"})
    assert SECRET not in repr(one)


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"namespace": "Team_A"}, "namespace: 'Team_A'; allowed: the name of a namespace"),
        ({"namespace": "a.b"}, "namespace: 'a.b'"),
        ({"namespace": 7}, "namespace: 7; allowed: a text"),
        ({"runai_dialect": "slurm"}, "runai_dialect: 'slurm'; allowed: "),
        ({"service_account": "Not_Valid"}, "service_account: "),
        ({"priority_classes": {"high": "No_Name"}}, "priority_classes: "),
    ],
)
def test_what_cannot_be_used_is_named(extra: dict[str, Any], words: str) -> None:
    with pytest.raises(ConnectionSettingsError) as refused:
        read(**extra)
    assert str(refused.value).startswith("connection 'gpu': ")
    assert words in str(refused.value)


def test_a_page_is_shown_only_where_the_connection_names_one() -> None:
    workload = Workload("uid-1", "train-g1", "Running", "trainings", kind="Training")
    assert workload_page(read(), workload, "team-a") == ""
    shown = read(page_url="https://dash/{namespace}/{name}?p={project}&id={id}")
    page = workload_page(shown, workload, "team-a")
    assert page == "https://dash/trainings/train-g1?p=team-a&id=uid-1"
    runai = Settings("https://org.run.ai", "me", SECRET)
    assert workload_page(runai, workload, "team-a").startswith("https://org.run.ai/workloads?")


@pytest.mark.slow
def test_the_connection_is_tested_by_what_the_cluster_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with served() as model:
        monkeypatch.setenv("AIRFLOW_CONN_GPU", model.connection(project="team-b"))
        works, words = RunaiHook("gpu").test_connection()
        assert works
        assert words == (
            f"Reached {model.url} (v1.34.4); dialect kai; project team-b found, namespace team-b; "
            "all rights are there"
        )
        model.cluster.server.forbidden.add(("list", "pods"))
        works, words = RunaiHook("gpu").test_connection()
        assert works
        assert "lacks rights in namespace 'team-b': list pods" in words
        model.cluster.server.tokens_are_bad = True
        works, words = RunaiHook("gpu").test_connection()
        assert not works
        assert "does not accept the connection's credentials" in words
    works, words = RunaiHook("gpu").test_connection()
    assert not works
    assert words.endswith("check that this machine may reach the API server")


@pytest.mark.slow
def test_a_project_is_known_without_a_question(monkeypatch: pytest.MonkeyPatch) -> None:
    with served() as model:
        extra = {"namespace": "trainings", "project": "team-b"}
        monkeypatch.setenv("AIRFLOW_CONN_GPU", model.connection(**extra))
        found = RunaiHook("gpu").project()
        assert (found.id, found.name, found.namespace) == ("trainings", "team-b", "trainings")
        assert model.asked == []


@pytest.mark.slow
def test_all_who_come_at_one_time_share_one_session(monkeypatch: pytest.MonkeyPatch) -> None:
    async def join() -> str:
        async with session("gpu") as joined:
            await asyncio.sleep(0.2)
            assert len(sessions.shared().sessions) == 1
            return str(joined.backend)

    async def all_join() -> list[str]:
        found = await asyncio.gather(*(join() for _ in range(20)))
        assert not sessions.shared().sessions
        return found

    with served() as model:
        monkeypatch.setenv("AIRFLOW_CONN_GPU", model.connection())
        assert len(set(asyncio.run(all_join()))) == 1


@pytest.mark.slow
def test_a_session_that_cannot_be_opened_leaves_nothing_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection = {"conn_type": "kubernetes", "extra": {"kube_config_path": "/no/such/file"}}
    monkeypatch.setenv("AIRFLOW_CONN_GPU", json.dumps(connection))

    async def join() -> None:
        with pytest.raises(ConnectionSettingsError, match="'/no/such/file' is no file"):
            async with session("gpu"):
                pass
        assert not sessions.shared().sessions

    asyncio.run(join())


@pytest.mark.slow
def test_a_hybrid_asks_the_cluster_by_its_own_login(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, connect: Callable[..., None]
) -> None:
    with served() as model:
        monkeypatch.setenv("AIRFLOW_CONN_CLUSTER", model.connection())
        connect(emulator.url, kubernetes_conn_id="cluster")
        hook = RunaiHook()
        assert hook.project().name == "team-a"
        assert hook.run(server_version_at(model.url)) == "v1.34.4"

        async def join() -> str:
            async with session("runai_default") as joined:
                assert (await joined.run(joined.backend.find_project("team-a"))).name == "team-a"
                return await joined.run(server_version_at(model.url))

        assert asyncio.run(join()) == "v1.34.4"
        assert model.logins == {"Bearer a-token-of-these-tests"}


def server_version_at(url: str) -> Flow[str]:
    return sent_to(url, server_version())


def test_a_second_connection_must_lead_to_a_cluster(
    monkeypatch: pytest.MonkeyPatch, connect: Callable[..., None]
) -> None:
    connect("https://org.run.ai", kubernetes_conn_id="runai_default")
    with pytest.raises(ConnectionSettingsError, match="kubernetes_conn_id: names a connection of"):
        _ = RunaiHook().backend
