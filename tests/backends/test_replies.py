from __future__ import annotations

from typing import Any

import pytest

from airflow_runai.backends.replies import accept
from airflow_runai.core.flow import Reply, Request
from airflow_runai.core.texts import TEXT_LIMIT
from airflow_runai.errors import (
    Conflict,
    Forbidden,
    NotFound,
    Refused,
    Throttled,
    Unauthorized,
    Unreachable,
    Unreadable,
)
from tests.backends.rest import html, reply
from tests.core.stage import NOON

CALL = Request("GET", "/api/v1/workloads/w-1")


def failed(answer: Reply) -> Exception:
    with pytest.raises((Unreachable, Refused)) as caught:
        accept(CALL, answer)
    assert "GET /api/v1/workloads/w-1: " in str(caught.value)
    return caught.value


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_good_status_is_good(status: int) -> None:
    assert accept(CALL, reply({"a": 1}, status)) == {"a": 1}
    assert accept(CALL, reply(None, status)) is None


def test_the_word_null_is_an_empty_answer() -> None:
    assert accept(CALL, Reply(202, NOON, None, "null")) is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (301, Unreachable),
        (302, Unreachable),
        (400, Refused),
        (401, Unauthorized),
        (403, Forbidden),
        (404, NotFound),
        (405, Refused),
        (408, Unreachable),
        (409, Conflict),
        (422, Refused),
        (425, Unreachable),
        (429, Throttled),
        (500, Unreachable),
        (502, Unreachable),
        (503, Unreachable),
        (504, Unreachable),
        (599, Unreachable),
        (100, Unreachable),
        (0, Unreachable),
    ],
)
def test_every_class_of_status_has_its_error(status: int, kind: type[Exception]) -> None:
    error = failed(reply({"code": status, "message": "the server's words"}, status))
    assert type(error) is kind
    if status != 429:
        assert "the server's words" in str(error)
    if isinstance(error, Refused):
        assert (error.status, error.detail) == (status, "the server's words")


@pytest.mark.parametrize("status", [200, 404])
def test_a_page_where_json_is_expected_is_nobodys_word_about_a_workload(status: int) -> None:
    error = failed(html(status))
    assert isinstance(error, Unreadable)
    assert error.status == status
    assert "text/html" in str(error)
    assert "login page" in str(error)


def test_a_404_without_a_body_is_a_404() -> None:
    assert isinstance(failed(reply(None, 404)), NotFound)


def test_a_redirect_says_where_to() -> None:
    error = failed(reply(None, 302, location="https://login.example/auth"))
    assert "https://login.example/auth" in str(error)


@pytest.mark.parametrize(
    ("header", "seconds"), [("7", 7.0), ("Wed, 21 Oct 2026 07:28:00 GMT", None), ("", None)]
)
def test_how_long_to_wait_is_read_where_it_is_a_number(header: str, seconds: float | None) -> None:
    error = failed(reply({}, 429, **{"retry-after": header}))
    assert isinstance(error, Throttled)
    assert error.retry_after == seconds


def test_what_breaks_a_policy_is_told_field_by_field() -> None:
    issues = [
        {"field": f"spec.f{i}", "details": f"must be at most {i}", "rule": "max"} for i in range(9)
    ]
    error = failed(reply({"code": 400, "message": "policy", "complianceIssues": issues}, 400))
    assert "spec.f8: must be at most 8" in str(error)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"error": "invalid_client", "error_description": "no such id"},
            "invalid_client; no such id",
        ),
        ({"message": "m", "details": "d"}, "m; d"),
        ({}, "(no message)"),
        ({"complianceIssues": "odd", "message": 5}, "5"),
        ("just text", "is this the control plane's URL"),
        (["a"], "is this the control plane's URL"),
    ],
)
def test_error_bodies_of_every_shape_are_worded(body: Any, words: str) -> None:
    assert words in str(failed(reply(body, 400)))


def test_whole_pages_are_cut() -> None:
    error = failed(reply({"message": "word " * 5000}, 500))
    assert len(str(error)) < 2 * TEXT_LIMIT


OF_CLUSTER = Request("GET", "https://c.example/cluster-api/api/v1/a/logs/download")


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (reply({"message": "no"}, 401), Unauthorized),
        (reply(None, 302, location="https://sso.example"), Unreachable),
        (html(200), Unreadable),
        (html(404), Unreadable),
        (html(500), Unreachable),
    ],
    ids=lambda value: getattr(value, "status", ""),
)
def test_what_a_cluster_answers_is_advised_on_its_own_address(
    answer: Reply, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        accept(OF_CLUSTER, answer)
    assert "the connection's cluster_url" in str(caught.value)
    assert "client secret" not in str(caught.value)
    assert "if it is the control plane" not in str(caught.value)
    assert "is this the control plane" not in str(caught.value)


def test_the_404_of_a_cluster_is_one_also_in_plain_text() -> None:
    plain = Reply(404, NOON, None, "404 page not found", {"content-type": "text/plain"})
    with pytest.raises(NotFound, match="404 404 page not found"):
        accept(OF_CLUSTER, plain)
    assert isinstance(failed(plain), Unreadable), "of the control plane it may be a gateway's"


@pytest.mark.parametrize("status", [302, 429, 500, 503])
def test_what_cannot_be_trusted_says_with_which_status_it_came(status: int) -> None:
    error = failed(reply({}, status))
    assert isinstance(error, Unreachable)
    assert error.status == status
    assert Unreachable("no answer").status == 0
