"""Credentials over a real socket: sent, refused, obtained anew once for all, and never shown."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from airflow_runai.backends import access, drivers
from airflow_runai.backends.access import ClusterAccess
from airflow_runai.core.flow import Flow, NextLine, Open, Reply, Request
from airflow_runai.errors import ConnectionSettingsError, Unreachable, Untrusted
from tests.backends.kubernetes.certificates import issue
from tests.backends.kubernetes.world import status
from tests.backends.scripted import CUT, LAST, Asked, ScriptedServer, chunk, opening, whole

T = TypeVar("T")
Obtain = Callable[[], ClusterAccess]


def never() -> ClusterAccess:
    raise AssertionError("not needed")


def blocking(flow: Flow[T], known: ClusterAccess, obtain: Obtain = never) -> T:
    with access.client(known, obtain) as client:
        return drivers.run(flow, client)


def awaiting(flow: Flow[T], known: ClusterAccess, obtain: Obtain = never) -> T:
    async def main() -> T:
        async with access.async_client(known, obtain) as client:
            return await drivers.arun(flow, client)

    return asyncio.run(main())


both = pytest.mark.parametrize("run", [blocking, awaiting])


def ask(path: str = "/api", json: Any = None) -> Flow[Reply]:
    return (yield Request("POST" if json else "GET", path, json=json))


def believing(*tokens: str) -> Callable[[Asked], Iterable[bytes]]:
    """Answer as an API server that knows these tokens."""

    def answer(asked: Asked) -> Iterable[bytes]:
        if asked.headers.get("authorization") in [f"Bearer {token}" for token in tokens]:
            return [whole({"path": asked.path, "body": asked.body.decode()})]
        return [whole(status(401, "Unauthorized", "Unauthorized"), 401)]

    return answer


@both
def test_a_refused_token_is_renewed_and_the_request_sent_once_more(run: Any) -> None:
    with ScriptedServer(believing("new")).listening() as server:
        old = ClusterAccess(server.url, "Bearer old")
        reply = run(ask("/jobs", {"a": 1}), old, lambda: replace(old, authorization="Bearer new"))
    assert reply.status == 200
    assert reply.body["body"].replace(" ", "") == '{"a":1}'
    assert [asked.headers["authorization"] for asked in server.asked] == [
        "Bearer old",
        "Bearer new",
    ]


def test_fifty_refused_requests_renew_once() -> None:
    renewed = 0

    def obtain() -> ClusterAccess:
        nonlocal renewed
        renewed += 1
        return replace(old, authorization="Bearer new")

    async def main() -> list[Reply]:
        async with access.async_client(old, obtain) as client:
            return await asyncio.gather(*(drivers.arun(ask(), client) for _ in range(50)))

    with ScriptedServer(believing("new")).listening() as server:
        old = ClusterAccess(server.url, "Bearer old")
        replies = asyncio.run(main())
    assert {reply.status for reply in replies} == {200}
    assert renewed == 1
    assert len(server.asked) <= 100


@both
def test_a_stream_is_opened_with_the_new_token_too(run: Any) -> None:
    def answer(asked: Asked) -> Iterable[bytes]:
        if asked.headers["authorization"] == "Bearer new":
            return [opening(), chunk(b"line\n"), LAST]
        return [whole(status(401, "Unauthorized"), 401)]

    def watch() -> Flow[bytes]:
        yield Open(Request("GET", "/watch"), 30.0)
        return bytes((yield NextLine()).body)

    with ScriptedServer(answer).listening() as server:
        old = ClusterAccess(server.url, "Bearer old")
        assert run(watch(), old, lambda: replace(old, authorization="Bearer new")) == b"line"


@both
@pytest.mark.parametrize("brings", ["an error", "nothing new"])
def test_where_there_is_nothing_new_the_refusal_stands_and_is_not_sought_again(
    run: Any, brings: str
) -> None:
    tried = 0

    def obtain() -> ClusterAccess:
        nonlocal tried
        tried += 1
        if brings == "an error":
            raise ConnectionSettingsError("the plug-in fails")
        return replace(old)

    def three() -> Flow[list[int]]:
        found = []
        for _ in range(3):
            found.append((yield Request("GET", "/api")).status)
        return found

    with ScriptedServer(believing("another")).listening() as server:
        old = ClusterAccess(server.url, "Bearer old")
        assert run(three(), old, obtain) == [401, 401, 401]
    assert tried == 1
    assert len(server.asked) == 3


@both
def test_without_credentials_no_header_is_sent(run: Any) -> None:
    with ScriptedServer(lambda asked: [whole({})]).listening() as server:
        assert run(ask(), ClusterAccess(server.url)).status == 200
    assert "authorization" not in server.asked[0].headers


@both
def test_nobody_there_is_unreachable_and_names_the_kubeconfig(run: Any) -> None:
    with (
        ScriptedServer(lambda asked: [CUT]).listening() as server,
        pytest.raises(Unreachable, match=r"check `server` and `proxy-url`") as caught,
    ):
        run(ask("/api?secret=1"), ClusterAccess(server.url, "Bearer hidden"))
    assert "hidden" not in str(caught.value)
    assert "secret=1" not in str(caught.value)


# TLS.


def serving(certificate: Any, client: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate.pair)
    if client:
        context.load_verify_locations(client)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@both
def test_a_server_must_have_the_certificate_that_is_trusted(run: Any, tmp_path: Path) -> None:
    good = issue(tmp_path, "server", ("localhost",))
    other = issue(tmp_path, "other", ("localhost",))
    with ScriptedServer(lambda _: [whole({})], serving(good)).listening() as server:
        trusted = ClusterAccess(server.url, ca=good.certificate.read_text())
        assert run(ask(), trusted).status == 200
        with pytest.raises(Untrusted, match="check `certificate-authority`"):
            run(ask(), replace(trusted, ca=other.certificate.read_text()))
        with pytest.raises(Untrusted):
            run(ask(), replace(trusted, ca=None))
        assert run(ask(), replace(trusted, ca=None, verify=False)).status == 200


@both
def test_a_certificate_that_has_expired_is_not_trusted(run: Any, tmp_path: Path) -> None:
    old = issue(tmp_path, "server", ("localhost",), days=-1)
    with (
        ScriptedServer(lambda _: [whole({})], serving(old)).listening() as server,
        pytest.raises(Untrusted, match="expired"),
    ):
        run(ask(), ClusterAccess(server.url, ca=old.certificate.read_text()))


@both
def test_the_certificate_may_be_of_another_name(run: Any, tmp_path: Path) -> None:
    issued = issue(tmp_path, "server", ("api.cluster",))
    with ScriptedServer(lambda _: [whole({})], serving(issued)).listening() as server:
        known = ClusterAccess(server.url, ca=issued.certificate.read_text())
        with pytest.raises(Untrusted):
            run(ask(), known)
        assert run(ask(), replace(known, server_name="api.cluster")).status == 200
    assert server.asked[0].server_name == "api.cluster"


@both
def test_a_new_client_certificate_needs_a_new_connection(run: Any, tmp_path: Path) -> None:
    issued = issue(tmp_path, "server", ("localhost",))
    first, second = (issue(tmp_path, name) for name in ("first", "second"))
    both_known = tmp_path / "known.pem"
    both_known.write_bytes(first.certificate.read_bytes() + second.certificate.read_bytes())

    def answer(asked: Asked) -> Iterable[bytes]:
        # As an API server, which looks at the certificate of the connection for each request.
        return [whole(status(401, "Unauthorized"), 401) if len(server.asked) == 2 else whole({})]

    def twice() -> Flow[list[int]]:
        return [(yield Request("GET", "/a")).status, (yield Request("GET", "/b")).status]

    with ScriptedServer(answer, serving(issued, both_known)).listening() as server:
        ca = issued.certificate.read_text()
        known = ClusterAccess(server.url, ca=ca, certificate=first.pair, fingerprint="1")
        fresh = replace(known, certificate=second.pair, fingerprint="2")
        assert run(twice(), known, lambda: fresh) == [200, 200]
    assert [asked.path for asked in server.asked] == ["/a", "/b", "/b"]


@pytest.mark.parametrize(
    ("bad", "words"),
    [
        (ClusterAccess("https://localhost:1", ca="no pem"), "certificates of the kubeconfig"),
        (ClusterAccess("https://localhost:1", certificate=("/no/such", "/no/such")), "needed: PEM"),
        (ClusterAccess("https://a:b:c"), "is not an address"),
    ],
)
def test_what_cannot_be_used_is_told_before_anything_is_sent(
    bad: ClusterAccess, words: str
) -> None:
    with pytest.raises(ConnectionSettingsError, match=words):
        access.client(bad, never)


# The way there.


@both
def test_a_proxy_of_the_connection_is_used(run: Any) -> None:
    with ScriptedServer(lambda asked: [whole({"via": "proxy"})]).listening() as proxy:
        reply = run(ask("/api"), ClusterAccess("http://cluster.invalid", proxy=proxy.url))
    assert reply.body == {"via": "proxy"}
    assert proxy.asked[0].headers["host"] == "cluster.invalid"


def test_a_proxy_of_the_environment_is_used_but_for_exceptions(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with ScriptedServer(lambda asked: [whole({"via": "proxy"})]).listening() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        monkeypatch.setenv("no_proxy", "localhost")
        assert blocking(ask(), ClusterAccess("http://cluster.invalid")).body == {"via": "proxy"}
        with ScriptedServer(lambda asked: [whole({"via": "none"})]).listening() as server:
            assert blocking(ask(), ClusterAccess(server.url)).body == {"via": "none"}


def test_no_secret_is_in_what_access_shows_of_itself() -> None:
    shown = repr(ClusterAccess("https://h", "Bearer hidden", proxy="http://u:hidden@p", ca="x"))
    assert "hidden" not in shown
    assert "https://h" in shown


def test_a_cluster_is_told_by_its_authority_and_else_by_its_address() -> None:
    one = ClusterAccess("https://a", ca="authority")
    assert one.cluster == replace(one, host="https://b", authorization="Bearer x").cluster
    assert one.cluster != replace(one, ca="other").cluster
    assert ClusterAccess("https://a").cluster != ClusterAccess("https://b").cluster


def test_new_connections_are_needed_for_another_certificate_but_not_for_another_token() -> None:
    one = ClusterAccess("https://a", "Bearer x", certificate=("c", "k"), fingerprint="1")
    assert not replace(one, authorization="Bearer y").needs_new_connections(one)
    assert replace(one, fingerprint="2").needs_new_connections(one)
    assert isinstance(access.async_client(ClusterAccess("http://a"), never), httpx.AsyncClient)
