from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends import clients
from airflow_runai.backends.settings import Settings
from airflow_runai.core.project import Project
from airflow_runai.errors import ConnectionSettingsError

GOOD: dict[str, Any] = {"url": "https://org.run.ai", "client_id": "me", "client_secret": "s3cr3t"}

IDS: dict[str, Any] = {"project": "team-a", "project_id": "4501", "cluster_id": "9b1f-2"}


def test_settings_never_show_the_secret() -> None:
    assert "s3cr3t" not in repr(Settings(**GOOD))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (
            {"url": "org.run.ai"},
            "control plane URL (host): 'org.run.ai' has no scheme or no host; allowed: an address",
        ),
        ({"url": ""}, "control plane URL (host): '' has no scheme or no host"),
        ({"url": "ftp://org.run.ai"}, "has no scheme or no host"),
        ({"url": "https://"}, "has no scheme or no host"),
        ({"url": "https://org.run.ai:99999"}, "is not an address; allowed: https://HOST[:PORT]"),
        ({"url": "https://org.run.ai:port"}, "is not an address"),
        ({"url": "https://[::1"}, "is not an address"),
        ({"url": "https://me:s3cr3t@org.run.ai"}, "holds user information"),
        ({"url": "me:s3cr3t@org.run.ai"}, "'***@org.run.ai' has no scheme"),
        ({"url": "https://me:s3cr3t@org.run.ai:99999"}, "'***@org.run.ai:99999' is not an address"),
        (
            {"client_id": ""},
            "client id (login): empty; enter the id of a service account or access key",
        ),
        ({"client_secret": ""}, "client secret (password): empty; enter the secret"),
        (
            {**IDS, "project": None},
            "project_id and cluster_id: given without the rest; project, project_id and cluster_id "
            "belong together, or leave both ids out",
        ),
        ({**IDS, "cluster_id": None}, "project_id: given without the rest"),
        ({**IDS, "project_id": None}, "cluster_id: given without the rest"),
        ({**IDS, "project_id": "7,name=^x"}, "project_id: '7,name=^x'; allowed: letters, digits"),
        ({**IDS, "cluster_id": ""}, "cluster_id: ''; allowed: letters, digits and hyphens"),
        ({"timeout": 0}, "timeout: 0; allowed: seconds greater than 0"),
        ({"timeout": float("nan")}, "timeout: nan; allowed"),
    ],
)
def test_a_wrong_field_is_named_with_what_is_allowed(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ConnectionSettingsError) as caught:
        Settings(**{**GOOD, **wrong})
    assert words in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_ids_of_another_project_are_told_with_the_right_ones() -> None:
    Settings(**GOOD).check_ids(Project("7", "p", "c-1"))
    Settings(**GOOD, **IDS).check_ids(Project("4501", "p", "9b1f-2"))
    for other in (("7", "9b1f-2"), ("4501", "c-1")):
        with pytest.raises(ConnectionSettingsError, match="project 'team-a' has "):
            Settings(**GOOD, **IDS).check_ids(Project(other[0], "p", other[1]))


def test_all_wrong_fields_are_named_at_once() -> None:
    with pytest.raises(ConnectionSettingsError) as caught:
        Settings("nowhere", "", "", timeout=-1)
    assert str(caught.value).count(";") >= 3
    assert all(
        name in str(caught.value) for name in ("URL", "client id", "client secret", "timeout")
    )


@pytest.mark.parametrize(
    "url",
    ["https://org.run.ai", "https://org.run.ai/", "https://gate.example/runai/", "http://[::1]:80"],
)
def test_a_client_speaks_to_the_given_address_with_a_time_out_on_everything(url: str) -> None:
    with clients.client(Settings(**{**GOOD, "url": url, "timeout": 7})) as client:
        assert str(client.base_url) == url.rstrip("/").removesuffix(":80") + "/"
        assert client.timeout.as_dict() == {"connect": 7, "read": 7, "write": 7, "pool": 7}
        assert client.follow_redirects is False


def test_an_address_that_the_http_client_refuses_is_a_clear_error() -> None:
    with pytest.raises(ConnectionSettingsError, match="is not an address"):
        clients.client(Settings(**{**GOOD, "url": "https://org .run.ai\x7f"}))
