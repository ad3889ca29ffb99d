from __future__ import annotations

import asyncio
import socket
import ssl
import struct
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from airflow_runai.backends import clients, drivers
from airflow_runai.backends.settings import Settings
from airflow_runai.core.flow import Flow, Notice, Reply, Request, Sleep, now
from airflow_runai.errors import ConnectionSettingsError, Unreachable, Unreadable, Untrusted
from tests.support.patience import PATIENCE

T = TypeVar("T")
Run = Callable[..., Any]


def blocking(flow: Flow[T], handler: Any, told: list[Notice], slept: list[float]) -> T:
    with httpx.Client(
        transport=httpx.MockTransport(handler), base_url="http://plane/base/"
    ) as client:
        return drivers.run(flow, client, told.append, slept.append)


def awaiting(flow: Flow[T], handler: Any, told: list[Notice], slept: list[float]) -> T:
    async def tell(news: Notice) -> None:
        told.append(news)

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    async def main() -> T:
        transport = httpx.MockTransport(handler)
        async with httpx.AsyncClient(transport=transport, base_url="http://plane/base/") as client:
            return await drivers.arun(flow, client, tell, sleep)

    return asyncio.run(main())


both = pytest.mark.parametrize("run", [blocking, awaiting])


def answering(request: httpx.Request) -> httpx.Response:
    if request.url.path.endswith("/lost"):
        raise httpx.ReadError("reset by peer", request=request)
    if request.url.path.endswith("/page"):
        return httpx.Response(200, html="<h1>Sign in</h1>")
    if request.url.path.endswith("/empty"):
        return httpx.Response(204)
    body = {
        "method": request.method,
        "url": str(request.url),
        "body": request.content.decode(),
        "type": request.headers.get("content-type"),
        "extra": request.headers.get("x-extra"),
    }
    return httpx.Response(202, json=body, headers={"Retry-After": "5"})


def conversation() -> Flow[list[Any]]:
    seen: list[Any] = []
    first = yield Request(
        "POST", "/api/a", [("filterBy", "name==x,phase!=y"), ("z", "1")], json={"k": "v"}
    )
    seen.append((first.status, first.body, first.headers["retry-after"]))
    form = yield Request("POST", "/api/b", form={"grant_type": "x y"}).with_header("X-Extra", "1")
    seen.append(form.body)
    yield Notice("timeline", "news", {"n": 1})
    yield Sleep(3)
    yield Sleep(0)
    try:
        yield Request("GET", "/lost")
    except Unreachable as error:
        seen.append(str(error))
    page = yield Request("GET", "/page")
    seen.append((page.body, page.text, page.headers["content-type"]))
    empty = yield Request("DELETE", "/empty")
    seen.append((empty.status, empty.body, empty.text))
    return seen


def test_both_drivers_have_the_same_conversation() -> None:
    heard = []
    for run in (blocking, awaiting):
        told: list[Notice] = []
        slept: list[float] = []
        heard.append((run(conversation(), answering, told, slept), told, slept))
    assert heard[0] == heard[1]
    seen, told, slept = heard[0]
    assert seen[0][1]["url"] == "http://plane/base/api/a?filterBy=name%3D%3Dx%2Cphase%21%3Dy&z=1"
    assert (seen[0][1]["body"].replace(" ", ""), seen[0][2]) == ('{"k":"v"}', "5")
    assert (seen[1]["body"], seen[1]["type"], seen[1]["extra"]) == (
        "grant_type=x+y",
        "application/x-www-form-urlencoded",
        "1",
    )
    assert seen[2] == "GET http://plane/base/lost: ReadError: reset by peer"
    assert seen[3] == (None, "<h1>Sign in</h1>", "text/html; charset=utf-8")
    assert seen[4] == (204, None, "")
    assert [tell.text for tell in told] == ["news"]
    assert slept == [3]


@both
@pytest.mark.parametrize("raised", [Unreadable("no id"), ValueError("a bug"), KeyError("x")])
def test_what_a_flow_raises_comes_out(run: Run, raised: Exception) -> None:
    def failing() -> Flow[None]:
        yield Notice("trouble", "x")
        raise raised

    with pytest.raises(type(raised)):
        run(failing(), answering, [], [])


@both
def test_a_flow_without_steps_returns_its_value(run: Run) -> None:
    def silent() -> Flow[str]:
        yield from ()
        return "done"

    assert run(silent(), answering, [], []) == "done"


@both
def test_a_sleep_is_lengthened_by_its_jitter_at_most(run: Run) -> None:
    def sleepy() -> Flow[None]:
        for _ in range(200):
            yield Sleep(10, jitter=0.3)

    slept: list[float] = []
    run(sleepy(), answering, [], slept)
    assert 10 <= min(slept) < max(slept) <= 13


@both
def test_a_reply_says_when_it_was(run: Run) -> None:
    first, second = run(_twice_now(), answering, [], [])
    assert 1.7e9 < first <= second


def _twice_now() -> Flow[tuple[float, float]]:
    return (yield from now()), (yield from now())


def test_the_blocking_driver_refuses_to_block_an_event_loop() -> None:
    async def main() -> None:
        with httpx.Client() as client:
            drivers.run(_twice_now(), client)

    with pytest.raises(RuntimeError, match=r"use drivers\.arun"):
        asyncio.run(main())


def _watched(closed: list[str], step: Any) -> Flow[None]:
    try:
        yield step
    finally:
        closed.append("closed")


class Stopped(Exception):
    """The worker is being stopped."""


def test_a_sleep_that_raises_ends_the_flow_and_closes_it() -> None:
    closed: list[str] = []

    def stop(seconds: float) -> None:
        raise Stopped

    with httpx.Client() as client, pytest.raises(Stopped):
        drivers.run(_watched(closed, Sleep(5)), client, sleep=stop)
    assert closed == ["closed"]


@pytest.mark.parametrize("step", [Sleep(3600), Request("GET", "/hangs")])
def test_cancellation_closes_the_flow_and_passes_through(step: Any) -> None:
    closed: list[str] = []
    begun = asyncio.Event()

    async def hang(request: httpx.Request) -> httpx.Response:
        begun.set()
        await asyncio.sleep(3600)
        raise AssertionError("nobody waits that long")

    async def sleep(seconds: float) -> None:
        begun.set()
        await asyncio.sleep(seconds)

    async def main() -> None:
        async with httpx.AsyncClient(
            transport=httpx.MockTransport(hang), base_url="http://plane/"
        ) as client:
            task = asyncio.create_task(drivers.arun(_watched(closed, step), client, sleep=sleep))
            await begun.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    assert closed == ["closed"]


def test_deeply_nested_json_is_no_answer_and_no_crash() -> None:
    def deep(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, content=b"[" * 200_000)

    def ask() -> Flow[Reply]:
        return (yield Request("GET", "/x"))

    assert blocking(ask(), deep, [], []).body is None


# From here on with real sockets.


def real_blocking(flow: Flow[T], settings: Settings) -> T:
    with clients.client(settings) as client:
        return drivers.run(flow, client)


def real_awaiting(flow: Flow[T], settings: Settings) -> T:
    async def main() -> T:
        async with clients.async_client(settings) as client:
            return await drivers.arun(flow, client)

    return asyncio.run(main())


really_both = pytest.mark.parametrize("run", [real_blocking, real_awaiting])


def ask() -> Flow[Reply]:
    return (yield Request("GET", "/api/v1/clusters"))


def settings(port: int, scheme: str = "http", **more: Any) -> Settings:
    return Settings(f"{scheme}://localhost:{port}", "me", "secret", **more)


@contextmanager
def listening(treat: Callable[[socket.socket], None]) -> Iterator[int]:
    """Accept connections one after the other and treat each."""
    with socket.create_server(("127.0.0.1", 0)) as door:
        stopped = threading.Event()

        def accept() -> None:
            while not stopped.is_set():
                try:
                    visitor, _ = door.accept()
                except OSError:
                    return
                with visitor:
                    treat(visitor)

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield door.getsockname()[1]
        finally:
            stopped.set()
            with socket.create_connection(door.getsockname()):
                pass  # wakes the accept
            thread.join()


def _reset(visitor: socket.socket) -> None:
    visitor.recv(65536)
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def _never_answer(visitor: socket.socket) -> None:
    visitor.settimeout(PATIENCE)
    while visitor.recv(65536):
        pass


def _garbage(visitor: socket.socket) -> None:
    if visitor.recv(65536):
        visitor.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


@really_both
@pytest.mark.parametrize("treat", [_reset, _garbage])
def test_a_connection_that_breaks_says_nothing_about_the_workload(run: Run, treat: Any) -> None:
    with (
        listening(treat) as port,
        pytest.raises(Unreachable, match=rf"GET http://localhost:{port}/api/v1/clusters: "),
    ):
        run(ask(), settings(port))


@really_both
def test_a_port_where_nobody_listens_is_unreachable(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as door:
        port = door.getsockname()[1]
    with pytest.raises(Unreachable, match="ConnectError"):
        run(ask(), settings(port))


@really_both
def test_a_host_that_does_not_exist_is_unreachable(run: Run) -> None:
    with pytest.raises(Unreachable, match=r"no-such-host\.invalid"):
        run(ask(), Settings("https://no-such-host.invalid", "me", "secret"))


@really_both
@pytest.mark.parametrize(
    "host", ["c..example", f"{'a' * 70}.example", "münchen_.example", "c.example/\x7f"]
)
def test_a_cluster_whose_address_is_none_is_unreachable(run: Run, host: str) -> None:
    def flow() -> Flow[Reply]:
        return (yield Request("GET", f"https://{host}/cluster-api/status"))

    with pytest.raises(Unreachable, match="check the connection's cluster_url"):
        run(flow(), settings(1))


@really_both
def test_a_control_plane_whose_host_is_no_name_is_unreachable(run: Run) -> None:
    with pytest.raises(Unreachable, match="check the connection's host"):
        run(ask(), Settings(f"https://{'a' * 70}.example", "me", "secret"))


@both
def test_a_body_that_cannot_be_encoded_is_no_matter_of_the_wire(run: Run) -> None:
    def flow() -> Flow[Reply]:
        return (yield Request("POST", "/x", json={"command": "\ud800"}))

    with pytest.raises(UnicodeEncodeError):
        run(flow(), answering, [], [])


class Endless(httpx.SyncByteStream, httpx.AsyncByteStream):
    """A body that never comes to its end, and never pauses for long."""

    def __iter__(self) -> Iterator[bytes]:
        while True:
            yield b"x\n"

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self:
            yield piece


@pytest.mark.parametrize("is_awaited", [False, True])
def test_a_download_that_has_no_end_is_given_up(is_awaited: bool) -> None:
    def flow() -> Flow[Reply]:
        return (yield Request("GET", "https://c.example/log", keep=100))

    async def main() -> Reply:
        async with httpx.AsyncClient(transport=transport, timeout=0.005) as client:
            return await drivers.arun(flow(), client)

    def block() -> Reply:
        with httpx.Client(transport=transport, timeout=0.005) as client:
            return drivers.run(flow(), client)

    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=Endless()))
    with pytest.raises(Unreachable, match=r"log: has not come to its end after 0\.01 s") as caught:
        asyncio.run(main()) if is_awaited else block()
    assert caught.value.status == 0


@really_both
def test_a_server_that_never_answers_is_given_up_after_the_time_out(run: Run) -> None:
    with listening(_never_answer) as port, pytest.raises(Unreachable, match="ReadTimeout"):
        run(ask(), settings(port, timeout=0.2))


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    key, cert = folder / "key.pem", folder / "cert.pem"
    made = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    who = ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run(
        [*made, *who, "-keyout", key, "-out", cert],
        check=True,
        capture_output=True,
    )
    return key, cert


def over_tls(certificate: tuple[Path, Path]) -> AbstractContextManager[int]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate[1], certificate[0])

    def treat(visitor: socket.socket) -> None:
        try:
            with context.wrap_socket(visitor, server_side=True) as talk:
                talk.recv(65536)
                talk.sendall(
                    b'HTTP/1.1 200 OK\r\ncontent-length: 13\r\nconnection: close\r\n\r\n{"good":true}'
                )
        except OSError:
            return  # the visitor did not like the certificate

    return listening(treat)


@really_both
def test_a_self_signed_certificate_is_not_trusted_and_says_what_to_do(
    run: Run, certificate: Any
) -> None:
    with (
        over_tls(certificate) as port,
        pytest.raises(Untrusted, match="name its CA file in the connection"),
    ):
        run(ask(), settings(port, "https"))


@really_both
@pytest.mark.parametrize("trust", ["its own CA file", "no verification"])
def test_a_self_signed_certificate_is_accepted_where_the_connection_says_so(
    run: Run, certificate: Any, trust: str
) -> None:
    how: dict[str, Any] = (
        {"ca_file": str(certificate[1])} if trust == "its own CA file" else {"verify": False}
    )
    with over_tls(certificate) as port:
        assert run(ask(), settings(port, "https", **how)).body == {"good": True}


@really_both
def test_a_ca_file_that_cannot_be_used_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_text("nothing")
    for name, words in (("missing.pem", "is not a readable file"), ("empty.pem", "cannot be used")):
        with pytest.raises(ConnectionSettingsError, match=rf"CA file: .*{name}.* {words}"):
            run(ask(), settings(1, "https", ca_file=str(tmp_path / name)))


@really_both
def test_redirects_are_not_followed(run: Run) -> None:
    def away(visitor: socket.socket) -> None:
        if visitor.recv(65536):
            visitor.sendall(
                b"HTTP/1.1 302 Found\r\nlocation: http://evil.example/\r\ncontent-length: 0\r\n\r\n"
            )

    with listening(away) as port:
        assert run(ask(), settings(port)).status == 302
