"""
A running emulator: a control plane, its ticking thread and its HTTP server, in this process.

Tests use :func:`serve`; the command line does the same and waits for a signal.
"""

from __future__ import annotations

import logging
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn

from airflow_runai.emulator.application import application
from airflow_runai.emulator.clock import Clock
from airflow_runai.emulator.connections import CuttableProtocol
from airflow_runai.emulator.control_plane import CLOSING, ControlPlane, RecordedRequest
from airflow_runai.emulator.faults import Faults
from airflow_runai.emulator.records import EmulatedWorkload
from airflow_runai.emulator.settings import EmulatorSettings
from airflow_runai.emulator.world import World

_JOIN_SECONDS = 10.0
_log = logging.getLogger(__name__)


class Emulator:
    """
    One embedded Run:ai that listens.

    :param settings: what it is made of.
    """

    def __init__(self, settings: EmulatorSettings) -> None:
        self.settings = settings
        self.root = settings.state or Path(tempfile.mkdtemp(prefix="runai-emulator-"))
        self.root.mkdir(parents=True, exist_ok=True)
        # Before anything else: a taken port is the most likely mistake.
        self._listener = _listen(settings.host, settings.port)
        self.port: int = self._listener.getsockname()[1]
        try:
            self._begin()
        except BaseException:
            self._listener.close()
            raise

    @property
    def url(self) -> str:
        """Base URL, without a slash at the end."""
        # A client cannot connect to a wildcard address; localhost may mean IPv6 to it.
        host = "127.0.0.1" if self.settings.host in ("0.0.0.0", "localhost") else self.settings.host
        return f"http://{f'[{host}]' if ':' in host else host}:{self.port}"

    @property
    def client_id(self) -> str:
        """The only client id that may log in."""
        return self.settings.client_id

    @property
    def client_secret(self) -> str:
        """Its secret."""
        return self.settings.secret

    @property
    def world(self) -> World:
        """The emulated tenant; hold ``plane.lock`` for more than one read."""
        return self.plane.world

    @property
    def clock(self) -> Clock:
        """Its clock."""
        return self.settings.clock

    @property
    def faults(self) -> Faults:
        """Faults to plan."""
        return self.plane.faults

    @property
    def requests(self) -> list[RecordedRequest]:
        """All requests so far, oldest first."""
        return list(self.plane.requests)

    def advance(self, seconds: float) -> None:
        """Let time pass on a stepped clock, in seconds."""
        self.plane.advance(seconds)

    def preempt(self, name: str) -> bool:
        """Preempt a workload as the platform does; False if it holds nothing."""
        return self.plane.preempt(name)

    def workloads_named(self, prefix: str) -> list[EmulatedWorkload]:
        """List all workloads with this prefix, also deleted ones, in the order of creation."""
        with self.plane.lock:
            return [one for one in self.world.workloads.values() if one.name.startswith(prefix)]

    def log(self, name: str, incarnation: int | None = None) -> str:
        """Read the output of a workload's first pod, in one incarnation or in all."""
        processes = self.plane.processes
        return processes.log(name, incarnation).decode() if processes else ""

    def restart(self) -> None:
        """Stop as in a crash, and start again on the same port; needs ``settings.state``."""
        if self.settings.state is None:
            remedy = "use EmulatorSettings(state=DIRECTORY)"
            raise ValueError(f"restart: there is no state to start from; {remedy}")
        self._end()
        self._listener = _listen(self.settings.host, self.port)
        self._begin()

    def close(self, grace: float = 0.0) -> None:
        """
        Stop. Running workloads are queued again, for the next start.

        :param grace: seconds that processes have to end by themselves.
        """
        # On a stepped clock nobody would let the grace period pass.
        if grace and not self.clock.stepped:
            self._let_end(grace)
        self._end()
        if self.settings.state is None:
            shutil.rmtree(self.root, ignore_errors=True)

    def _begin(self) -> None:
        self.plane = ControlPlane(self.settings, self.root)
        config = uvicorn.Config(
            application(self.plane),
            http=CuttableProtocol,
            ws="none",
            loop="asyncio",
            lifespan="off",
            access_log=False,
            date_header=False,  # the header shows the control plane's own clock
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        self._server = uvicorn.Server(config)
        self._stop = threading.Event()
        serving = threading.Thread(
            target=self._server.run,
            args=([self._listener],),
            daemon=True,
        )
        self._threads = [serving]
        if not self.clock.stepped:
            self._threads.append(threading.Thread(target=self._tick, daemon=True))
        for thread in self._threads:
            thread.start()

    def _let_end(self, grace: float) -> None:
        with self.plane.lock:
            self.plane.engine.stop_all(CLOSING, self.plane.clock.now())
        deadline = time.monotonic() + grace
        while self.plane.busy and time.monotonic() < deadline:
            time.sleep(0.02)

    def _tick(self) -> None:
        while not self._stop.wait(self.settings.tick_seconds):
            try:
                self.plane.tick()
            except Exception:  # one bad step must not stop the other workloads
                _log.exception("a step of the emulator failed; it continues")

    def _end(self) -> None:
        self._stop.set()
        self._server.should_exit = True
        for thread in self._threads:
            thread.join(_JOIN_SECONDS)
        # No request may come in while the processes are being killed.
        self._listener.close()
        self.plane.close()


@contextmanager
def serve(settings: EmulatorSettings | None = None) -> Iterator[Emulator]:
    """
    Run an emulator in this process for as long as a ``with`` block lasts.

    :param settings: by default two nodes with two GPUs, and two projects with a quota of two.
    """
    emulator = Emulator(settings or EmulatorSettings())
    try:
        yield emulator
    finally:
        emulator.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named; without it each reply takes 40 ms
    # longer.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise OSError(error.errno, f"cannot listen on {host}:{port}: {error.strerror}") from error
    # Clients may connect at once; the server accepts as soon as its loop runs.
    listener.listen(128)
    return listener
