"""The model behind a real socket, on a clock that runs by itself, for code that opens its own connections."""

from __future__ import annotations

import heapq
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.model.cluster import Cluster
from tests.model.pod_logs import LogStream
from tests.model.server import Asked
from tests.model.watching import Watch


class RunningClock:
    """
    Time that passes by itself.

    :param speed: how much faster than the real one.
    """

    def __init__(self, speed: float) -> None:
        self.lock = threading.RLock()
        self._speed, self._epoch, self._began = speed, time.time(), time.monotonic()
        self._numbers = count()
        self._agenda: list[tuple[float, int, Callable[[], object]]] = []
        self._news = threading.Event()
        self._is_over = False

    def now(self) -> float:
        return self._epoch + (time.monotonic() - self._began) * self._speed

    def after(self, seconds: float, work: Callable[[], object]) -> None:
        with self.lock:
            heapq.heappush(self._agenda, (self.now() + seconds, next(self._numbers), work))
        self._news.set()

    def run(self) -> None:
        """Do what becomes due, until :meth:`stop`."""
        while not self._is_over:
            self._news.clear()
            with self.lock:
                while self._agenda and self._agenda[0][0] <= self.now():
                    heapq.heappop(self._agenda)[2]()
                due = self._agenda[0][0] - self.now() if self._agenda else 60.0
            self._news.wait(max(0.0, due / self._speed))

    def stop(self) -> None:
        self._is_over = True
        self._news.set()


class ServedModel:
    """
    A cluster that can be reached.

    :ivar cluster: touch it only within :attr:`lock`.
    :ivar asked: the first lines of all requests, in their order.
    :ivar logins: what they had as authorization.
    """

    def __init__(self, speed: float, **options: Any) -> None:
        self.clock = RunningClock(speed)
        self.lock = self.clock.lock
        self.cluster = Cluster(self.clock, **options)
        self.asked: list[str] = []
        self.logins: set[str] = set()
        handler = type("_Bound", (_Handler,), {"model": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def connection(self, **extra: Any) -> str:
        """Return an Airflow connection to it, as JSON."""
        config = {
            "current-context": "model",
            "contexts": [{"name": "model", "context": {"cluster": "model", "user": "airflow"}}],
            "clusters": [{"name": "model", "cluster": {"server": self.url}}],
            "users": [{"name": "airflow", "user": {"token": "a-token-of-these-tests"}}],
        }
        extra = {"kube_config": json.dumps(config), **extra}
        return json.dumps({"conn_type": "kubernetes", "extra": extra})

    def run(self) -> None:
        self._server.serve_forever(poll_interval=0.05)

    def stop(self) -> None:
        self.clock.stop()
        with self.lock:
            self.cluster.server.drop_streams()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def served(speed: float = 10.0, **options: Any) -> Iterator[ServedModel]:
    """Serve a model while the block runs."""
    model = ServedModel(speed, **options)
    threads = [threading.Thread(target=work) for work in (model.clock.run, model.run)]
    for thread in threads:
        thread.start()
    try:
        yield model
    finally:
        model.stop()
        for thread in threads:
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    model: ServedModel
    protocol_version = "HTTP/1.1"

    def _serve(self) -> None:
        parts, length = urlsplit(self.path), int(self.headers.get("content-length") or 0)
        asked = Asked(
            self.command,
            parts.path,
            dict(parse_qsl(parts.query)),
            json.loads(self.rfile.read(length)) if length else None,
            self.headers.get("content-type", ""),
        )
        news = threading.Event()
        with self.model.lock:
            self.model.asked.append(f"{self.command} {self.path}")
            self.model.logins.add(self.headers.get("authorization", ""))
            answer = self.model.cluster.server.answer(asked)
            body = answer.body
            if isinstance(body, Watch | LogStream):
                body.wake = news.set
        self.send_response_only(answer.status)
        self.send_header("date", formatdate(self.model.clock.now(), usegmt=True))
        if isinstance(body, Watch | LogStream):
            self._stream(body, news)
            return
        kind = "text/plain" if isinstance(body, str) else "application/json"
        content = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self, watch: Watch | LogStream, news: threading.Event) -> None:
        self.send_header("content-type", "application/json")
        self.send_header("connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                news.clear()
                is_over = watch.is_over
                while watch.lines:
                    line = watch.lines.popleft()
                    text = line if isinstance(line, str) else f"{json.dumps(line)}\n"
                    self.wfile.write(text.encode())
                if is_over:
                    return
                news.wait()
        except OSError:
            pass  # the client has gone
        finally:
            with self.model.lock:
                watch.end()

    do_GET = do_POST = do_PATCH = do_DELETE = _serve  # the library's names

    def log_message(self, *arguments: object) -> None:
        """Say nothing."""
