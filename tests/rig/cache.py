"""
Where built programs lie: one folder per key, in a cache outside the checkout.

A folder is filled under another name, sealed with an index of its files, and renamed at last. So
what carries a key's name was complete once, and the index tells whether it still is. This file
knows neither Go nor what the programs are.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: Seconds between two signs of life; a reader gives up on what is silent for longer than about 15.
HEARTBEAT = 10.0
_INDEX = "index.json"
_UNFINISHED = "unfinished"
_KEY = re.compile(r"[0-9a-f]{16}-[0-9a-f]{16}")


def default_folder() -> Path:
    """Return ``$RUNAI_RIG_CACHE``, or a folder of ours among the user's caches."""
    own = os.environ.get("RUNAI_RIG_CACHE")
    caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(own).absolute() if own else Path(caches) / "airflow-provider-runai" / "rig"


@dataclass(frozen=True)
class Cache:
    """
    The folders of one cache.

    A key (see :func:`key`) has two halves, so that a machine without the compiler can still find
    what was built from the same sources.
    """

    folder: Path

    def find(self, key: str) -> Path | None:
        """Return the folder of a key if each of its files is as it was sealed; ``*`` in a key stands for anything."""
        return next((found for found in sorted(self.folder.glob(key)) if is_intact(found)), None)

    @contextmanager
    def lock(self, say: Callable[[str], None]) -> Iterator[int]:
        """
        Wait until nobody else builds, then keep others out.

        Yields the lock's file descriptor. A child that inherits it keeps the lock even if this
        process is killed: its orphans may still write, so nobody else may begin.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _wait(
                descriptor,
                lambda: say(f"waiting: another build of the rig writes to {self.folder}"),
            )
            yield descriptor
        finally:
            os.close(descriptor)

    @contextmanager
    def filling(self) -> Iterator[Path]:
        """Yield an empty folder to fill; whatever happens, it is gone afterwards unless :meth:`publish` took it."""
        unfinished = self.folder / _UNFINISHED
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir()
        try:
            yield unfinished
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)

    def publish(self, filled: Path, key: str) -> Path:
        """Seal a filled folder and give it its name at one stroke, in place of a broken one."""
        (filled / _INDEX).write_text(json.dumps(_index(filled), indent=1))
        published = self.folder / key
        shutil.rmtree(published, ignore_errors=True)
        return filled.rename(published)

    def remove_others(self, key: str) -> list[Path]:
        """Remove what other keys left here, and nothing that does not look like a key; return what went."""
        others = [
            path for path in self.folder.iterdir() if _KEY.fullmatch(path.name) and path.name != key
        ]
        for folder in others:
            shutil.rmtree(folder, ignore_errors=True)
        return others


def key(sources: Iterable[bytes], compiler: str | None) -> str:
    """Return what a build's result depends on, as a name; no compiler stands for any."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(len(source).to_bytes(8, "big") + source)
    return f"{digest.hexdigest()[:16]}-{hashlib.sha256(compiler.encode()).hexdigest()[:16] if compiler else '*'}"


def is_intact(folder: Path) -> bool:
    """Say whether a folder's index can be read and each file in it is there, unchanged and as executable as before."""
    try:
        files: dict[str, dict[str, Any]] = json.loads((folder / _INDEX).read_text())
        return bool(files) and all(
            _unchanged(folder / name, sealed) for name, sealed in files.items()
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return False


def size(folder: Path) -> int:
    """Return the bytes of all files below a folder."""
    return sum(path.lstat().st_size for path in folder.rglob("*") if path.is_file())


def _index(folder: Path) -> dict[str, dict[str, Any]]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {
        path.relative_to(folder).as_posix(): {**_looks(path), "sha256": _digest(path)}
        for path in files
    }


def _unchanged(path: Path, sealed: dict[str, Any]) -> bool:
    # Reading half a gigabyte takes too long each time, so the time of the last change answers for
    # the content. A copied cache has other times; there the digest decides.
    now = _looks(path)
    if (now["size"], now["executable"]) != (sealed["size"], sealed["executable"]):
        return False
    return bool(now["changed_ns"] == sealed["changed_ns"] or _digest(path) == sealed["sha256"])


def _looks(path: Path) -> dict[str, Any]:
    found = path.stat()
    return {
        "size": found.st_size,
        "executable": os.access(path, os.X_OK),
        "changed_ns": found.st_mtime_ns,
    }


def _digest(path: Path) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(1 << 20):
            found.update(piece)
    return found.hexdigest()


def _wait(descriptor: int, sign_of_life: Callable[[], None]) -> None:
    told = -math.inf
    while True:
        try:
            return fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() - told >= HEARTBEAT:
                sign_of_life()
                told = time.monotonic()
        time.sleep(0.1)
