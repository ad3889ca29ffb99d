"""
The `go` command: its version, its caches, its builds. It says in one sentence why it failed.

It runs with a fixed environment, so that neither the user's settings nor a downloaded toolchain
change a result.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.rig.cache import HEARTBEAT

#: What ends a build early.
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
STRIPPED = "-s -w"
_FLAGS = ("-mod=readonly", "-trimpath", "-p=2")  # two at a time: one compiler takes up to 1.9 GB
_SETTINGS = {
    "CGO_ENABLED": "0",
    "GOTOOLCHAIN": "local",
    "GOFLAGS": "-mod=readonly",
    "GOWORK": "off",
}
#: What a result depends on beside its sources and Go's version.
RECIPE = repr((STRIPPED, _FLAGS, _SETTINGS))
_GET_GO = "get it from https://go.dev/dl/, put it on PATH and run `make rig` again"
#: Go's own words for two troubles that are not the project's, and what to do about them.
_TROUBLES = (
    (
        re.compile(r"no space left on device|disk quota exceeded", re.I),
        "the disk is full: {line}; make room",
    ),
    (
        re.compile(
            r'dial tcp|no such host|Get "http|reading https?:|proxyconnect|TLS handshake|i/o timeout|GOPROXY=off',
            re.I,
        ),
        "Go cannot download a module: {line}; connect to the network (or set GOPROXY)",
    ),
)


class BuildError(Exception):
    """Why there are no programs: one sentence with what, where and what to do."""


@dataclass(frozen=True)
class Go:
    """
    A Go that can build the rig.

    :param command: name or path of the program.
    :param version: all that `go version` says, such as ``go version go1.26.8 linux/amd64``.
    :param heartbeat: seconds between two signs of life of a build.
    """

    command: str
    version: str
    heartbeat: float = HEARTBEAT

    @classmethod
    def find(cls, command: str, least: tuple[int, int]) -> Go:
        """
        Return the Go on PATH; :class:`BuildError` if there is none or it is older than ``least``.
        """
        needed = "Go {}.{} or later builds the rig".format(*least)
        if not shutil.which(command):
            raise BuildError(f"{needed}, and there is no `{command}` on PATH; {_GET_GO}")
        said = _output([command, "version"], Path.cwd())
        found = re.search(r"\bgo(\d+)\.(\d+)\S*", said)
        if not found:
            raise BuildError(f"{needed}, and `{command} version` said {said[:100]!r}; {_GET_GO}")
        if (int(found[1]), int(found[2])) < least:
            raise BuildError(f"{needed}, and {shutil.which(command)} is {found[0]}; {_GET_GO}")
        return cls(command, said)

    def caches(self) -> list[Path]:
        """Return the folders where Go keeps what it compiled and what it downloaded."""
        return [
            Path(line)
            for line in _output([self.command, "env", "GOCACHE", "GOMODCACHE"], Path.cwd()).split(
                "\n"
            )
        ]

    def module_folder(self, module: str, family: Path) -> Path:
        """Return where a module's files lie; read-only, and Go's."""
        return Path(_output([self.command, "list", "-m", "-f", "{{.Dir}}", module], family))

    def build(
        self, family: Path, into: Path, linker: str, lock: int, say: Callable[[str], None]
    ) -> None:
        """
        Build every `tool` of a family. Go works in the folder that it fills, so that nothing stays elsewhere.

        :param linker: flags for the linker.
        :param lock: a descriptor that the compiler's processes keep open until the last of them has
            ended.
        :param say: gets the signs of life.
        """
        words = [
            self.command,
            "build",
            *_FLAGS,
            f"-ldflags={linker}",
            "-o",
            f"{into}{os.sep}",
            "tool",
        ]
        with ExitStack() as at_last:
            with _uninterrupted():
                process = subprocess.Popen(
                    words,
                    cwd=family,
                    env={**os.environ, **_SETTINGS, "GOTMPDIR": str(into)},
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.STDOUT,
                    text=True,
                    errors="replace",
                    pass_fds=(lock,),
                    start_new_session=True,  # so that its compilers can be ended with it
                )
                at_last.callback(_end, process)
            said = self._wait(
                process, lambda seconds: say(f"{family.name}: building, {seconds:.0f} s")
            )
        if process.returncode:
            raise BuildError(_why(f"building {family}", said))

    def _wait(self, process: subprocess.Popen[str], sign_of_life: Callable[[float], None]) -> str:
        began = time.monotonic()
        while True:
            try:
                return process.communicate(timeout=self.heartbeat)[0]
            except subprocess.TimeoutExpired:
                sign_of_life(time.monotonic() - began)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Let no signal come between the start of a process and the promise to end it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end(process: subprocess.Popen[str]) -> None:
    if process.returncode is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _output(words: list[str], folder: Path) -> str:
    done = subprocess.run(
        words,
        cwd=folder,
        env={**os.environ, **_SETTINGS},
        capture_output=True,
        text=True,
        errors="replace",
    )
    if done.returncode:
        raise BuildError(_why(f"`{' '.join(words)}`", done.stderr))
    return done.stdout.strip()


def _why(what: str, said: str) -> str:
    lines = said.strip().splitlines() or ["it said nothing"]
    for pattern, explanation in _TROUBLES:
        telling = next((line for line in lines if pattern.search(line)), None)
        if telling:
            return (
                f"{what} failed: {explanation.format(line=_cut(telling))} and run `make rig` again"
            )
    return f"{what} failed: {' / '.join(_cut(line) for line in lines[-5:])}"


def _cut(line: str) -> str:
    # Go names the cause at the end, behind long paths.
    return line.strip()[-300:]
