"""Logging in, and what depends on the control plane's version."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, SteppedClock, serve
from tests.support.waiting import wait_until

from .conftest import Client

pytestmark = pytest.mark.slow

V1, V2 = "/api/v1/token", "/api/v2/token"


def at(version: str, **more: Any) -> EmulatorSettings:
    return EmulatorSettings(clock=SteppedClock(), control_plane_version=version, **more)


@pytest.mark.parametrize(
    "keys",
    [("clientID", "clientSecret"), ("clientId", "clientSecret"), ("CLIENTID", "clientsecret")],
)
def test_keys_of_version_1_have_any_case(stepped: Emulator, keys: tuple[str, str]) -> None:
    body = {
        "grantType": "client_credentials",
        keys[0]: stepped.client_id,
        keys[1]: stepped.client_secret,
    }
    assert httpx.post(stepped.url + V1, json=body).json()["expiresIn"] == 3600


def test_wrong_secret(stepped: Emulator) -> None:
    body = {
        "grantType": "client_credentials",
        "clientId": stepped.client_id,
        "clientSecret": "wrong",
    }
    first = httpx.post(stepped.url + V1, json=body)
    assert (first.status_code, first.json()["code"]) == (401, 401)
    form = {
        "grant_type": "client_credentials",
        "client_id": stepped.client_id,
        "client_secret": "wrong",
    }
    second = httpx.post(stepped.url + V2, data=form)
    assert (second.status_code, second.json()["error"]) == (401, "invalid_client")


@pytest.mark.parametrize(
    ("version", "app_token", "v2"),
    [("2.18", 200, 404), ("2.23", 200, 404), ("2.24", 200, 200), ("3.0", 400, 200)],
)
def test_what_opens_which_version(version: str, app_token: int, v2: int) -> None:
    with serve(at(version)) as emulator:
        body = {
            "grantType": "app_token",
            "AppId": emulator.client_id,
            "AppSecret": emulator.client_secret,
        }
        assert httpx.post(emulator.url + V1, json=body).status_code == app_token
        form = {
            "grant_type": "client_credentials",
            "client_id": emulator.client_id,
            "client_secret": emulator.client_secret,
        }
        assert httpx.post(emulator.url + V2, data=form).status_code == v2


def test_unknown_grants_are_refused(stepped: Emulator) -> None:
    assert httpx.post(stepped.url + V1, json={"grantType": "password"}).status_code == 400
    assert (
        httpx.post(stepped.url + V2, data={"grant_type": "password"}).json()["error"]
        == "unsupported_grant_type"
    )
    assert httpx.post(stepped.url + V2).json()["error"] == "invalid_request"


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer x", "Bearer a.b.c", "Basic YTpi", "Bearer ünï".encode("latin-1")],
)
def test_every_other_call_needs_a_valid_token(stepped: Emulator, header: Any) -> None:
    headers = {} if header is None else {"Authorization": header}
    for path in ("/api/v1/clusters", "/api/v1/workloads", "/_emulator/requests"):
        answer = httpx.get(stepped.url + path, headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, 401)


def test_token_expires() -> None:
    with serve(EmulatorSettings(clock=SteppedClock(), token_seconds=0.3)) as emulator:
        client = Client(emulator)
        wait_until(lambda: client.http.get("/api/v1/clusters").status_code == 401)
        emulator.plane.tokens.seconds = 3600.0
        client.log_in()
        assert client.http.get("/api/v1/clusters").status_code == 200


@pytest.mark.parametrize(
    ("version", "create", "delete", "suspend_distributed", "types", "batch"),
    [
        ("2.18", 200, 204, 404, 404, 404),
        ("2.20", 200, 204, 202, 404, 400),
        ("2.21", 202, 202, 202, 404, 400),
        ("2.22", 202, 202, 202, 200, 400),
        ("3.0", 202, 202, 202, 200, 400),
    ],
)
def test_versions_differ_on_the_wire(
    version: str, create: int, delete: int, suspend_distributed: int, types: int, batch: int
) -> None:
    with serve(at(version)) as emulator:
        client = Client(emulator)
        body = client.body("gang", distributedFramework="PyTorch", numWorkers=1)
        made = client.post("/api/v1/workloads/distributed", body)
        path = f"/api/v1/workloads/distributed/{made.json()['workloadId']}"
        assert made.status_code == create
        assert client.post(f"{path}/suspend").status_code == suspend_distributed
        assert client.http.get("/api/v1/workload-types").status_code == types
        assert client.post("/api/v1/workloads/batch", {}).status_code == batch
        assert client.http.delete(path).status_code == delete


@pytest.mark.parametrize(
    ("version", "lacking"),
    [
        ("2.21", {"category", "totalPendingTimeSeconds", "totalRunningTimeSeconds"}),
        ("2.22", {"totalPendingTimeSeconds", "totalRunningTimeSeconds"}),
        ("2.23", set()),
    ],
)
def test_older_versions_know_fewer_fields(version: str, lacking: set[str]) -> None:
    with serve(at(version)) as emulator:
        client = Client(emulator)
        item = client.workload(client.create("one"))
        fields = {"category", "totalPendingTimeSeconds", "totalRunningTimeSeconds"}
        assert fields - set(item) == lacking
        for field in fields:
            answer = client.http.get("/api/v1/workloads", params={"filterBy": f"{field}==0"})
            assert answer.status_code == (400 if field in lacking else 200)
