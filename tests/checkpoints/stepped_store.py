"""An object store in memory whose users take turns: a test decides who makes the next request, and who dies before it."""

from __future__ import annotations

import io
import posixpath
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any


class Died(BaseException):
    """A process ended, without any clean-up of its own."""


class User:
    """A process that works with the store; each step is one request of it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.result: Any = None
        self.ended = self.died = False
        self._dies = False
        self._go, self._back = threading.Semaphore(0), threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, args=(work,), daemon=True)
        self._thread.start()
        USERS[self._thread] = self

    def step(self, *, dies: bool = False) -> None:
        """Make the next request, up to the one after it or to the end; or die before it."""
        if not self.ended:
            self._dies = dies
            self._go.release()
            self._back.acquire()

    def finish(self) -> None:
        """Make all requests that are left."""
        while not self.ended:
            self.step()

    def wait(self) -> None:
        """Called by the store before each request."""
        self._back.release()
        self._await_turn()

    def _await_turn(self) -> None:
        self._go.acquire()
        if self._dies:
            raise Died

    def _run(self, work: Callable[[], Any]) -> None:
        try:
            self._await_turn()
            self.result = work()
        except Died:
            self.died = True
        except Exception as error:
            self.result = error
        finally:
            self.ended = True
            USERS.pop(threading.current_thread(), None)
            self._back.release()


USERS: dict[threading.Thread, User] = {}


@dataclass
class Store:
    """
    What an fsspec file system is to its users.

    :param conditional: whether it keeps an object that is to be created.
    :param listed: sizes in the cache of listings, which are believed when a file is opened.
    :param repeats: each request is sent twice, as if its first answer had been lost.
    """

    protocol: tuple[str, ...] = ("gs", "gcs")
    conditional: bool = True
    repeats: bool = False
    objects: dict[str, bytes] = field(default_factory=dict)
    listed: dict[str, int] = field(default_factory=dict)

    def request(self) -> None:
        """Wait for the turn of whoever asks; a test itself need not wait."""
        if user := USERS.get(threading.current_thread()):
            user.wait()

    def invalidate_cache(self) -> None:
        self.listed.clear()

    def pipe_file(self, path: str, data: bytes, mode: str = "overwrite") -> None:
        self.request()
        for _ in range(1 + self.repeats):
            if self.conditional and mode == "create" and path in self.objects:
                raise FileExistsError(path)
            self.objects[path] = data


class _Writer(io.BytesIO):
    def __init__(self, store: Store, path: str) -> None:
        super().__init__()
        self.store, self.path = store, path

    def close(self) -> None:
        if not self.closed:
            self.store.pipe_file(self.path, self.getvalue())
        super().close()


@dataclass(frozen=True)
class StoredPath:
    """A path in the store, with what is used of ``ObjectStoragePath``."""

    fs: Store = field(hash=False)
    path: str

    def __str__(self) -> str:
        return f"gs://{self.path}"

    def __truediv__(self, name: str) -> StoredPath:
        return StoredPath(self.fs, f"{self.path}/{name}")

    @property
    def parent(self) -> StoredPath:
        return StoredPath(self.fs, posixpath.dirname(self.path))

    @property
    def name(self) -> str:
        return posixpath.basename(self.path)

    def iterdir(self) -> Iterator[StoredPath]:
        self.fs.request()
        prefix = f"{self.path}/"
        found = [key for key in self.fs.objects if key.startswith(prefix)]
        self.fs.listed.update({key: len(self.fs.objects[key]) for key in found})
        return iter([self / key[len(prefix) :] for key in found])

    def stat(self) -> Any:
        raise NotImplementedError

    def open(self, mode: str) -> Any:
        if mode == "wb":
            return _Writer(self.fs, self.path)
        self.fs.request()
        if self.path not in self.fs.objects:
            raise FileNotFoundError(self.path)
        return io.BytesIO(self.fs.objects[self.path][: self.fs.listed.get(self.path)])

    def unlink(self, missing_ok: bool = False) -> None:
        self.fs.request()
        self.fs.objects.pop(self.path, None)
