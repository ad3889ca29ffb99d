"""
Reads the datasets of an HDF5 file through h5py, in a separate process with limits.

The C library has a history of CVEs; if the file breaks it, or makes it allocate or loop without
end, only that process dies, and its answers are treated as data. Without h5py (extra ``hdf5``), or
on object storage, nothing is read.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Timer
from typing import IO, TYPE_CHECKING

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.checking.reader import CHUNK, Feed
from airflow_runai.checkpoints.containers.json_documents import Document
from airflow_runai.checkpoints.storage.listing import Location

if TYPE_CHECKING:
    import subprocess

#: Called with a line of JSON about a group or dataset; returns what is called with its bytes.
Listener = Callable[[Document], Feed | None]

_PROBE = Path(__file__).with_name("hdf5_probe.py")
_MEMORY = 1024 * 1024 * 1024
_SECONDS = 8
_MIN_BYTES_PER_SECOND = 20 * 1024 * 1024
_LINE_LIMIT = 64 * 1024 * 1024
_CODES = {"external": "hdf5-external", "limit": "hdf5-limit", "damaged": "hdf5-damaged"}


def read_hdf5(path: Location, begin: int, size: int, listen: Listener) -> str | None:
    """
    Read every dataset once.

    :param begin: first byte of the HDF5 content in the file; not 0 inside a zip.
    :param size: its length, in bytes.
    :param listen: called for every group and dataset; see
        :mod:`~airflow_runai.checkpoints.containers.hdf5_probe`.
    :return: why nothing was read; ``None`` when everything was.
    :raises FormatError: ``hdf5-damaged``, ``hdf5-external`` or ``hdf5-limit``.
    """
    if not isinstance(path, Path):
        return "h5py reads local files only"
    if find_spec("h5py") is None:
        return "h5py is not installed (extra hdf5)"
    seconds = _SECONDS + size // _MIN_BYTES_PER_SECOND
    request = {
        "path": os.fspath(path.absolute()),
        "begin": begin,
        "size": size,
        "sys_path": sys.path,
        "memory": _MEMORY,
        "seconds": seconds,
    }
    line = _answered(request, seconds, listen)
    end, message = line["end"], line["message"]
    if end == "missing":
        return f"h5py cannot be used ({message})"
    if end != "done":
        raise FormatError(_CODES.get(end, "hdf5-limit"), f"h5py: {message}")
    return None


def _answered(request: Document, seconds: int, listen: Listener) -> Document:
    """Return the last line of the probe."""
    with _started() as probe:
        # The probe limits its processor time; it may wait for a disk much longer, but not for ever.
        watch = Timer(10 * seconds, probe.kill)
        watch.start()
        try:
            assert probe.stdin is not None
            assert probe.stdout is not None
            with suppress(BrokenPipeError):
                probe.stdin.write(json.dumps(request).encode())
                probe.stdin.close()
            return _heard(probe.stdout, listen)
        finally:
            watch.cancel()
            probe.kill()


def _started() -> subprocess.Popen[bytes]:
    import subprocess  # slows the start of a command

    # No plug-ins; no threads, whose stacks count as memory; nothing else of our environment, which
    # may hold credentials.
    environment = {
        "HDF5_PLUGIN_PRELOAD": "::",
        "HDF5_USE_FILE_LOCKING": "FALSE",
        "OPENBLAS_NUM_THREADS": "1",
    }
    if "LD_LIBRARY_PATH" in os.environ:
        environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]
    return subprocess.Popen(
        [sys.executable, "-I", str(_PROBE)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
    )


def _heard(answers: IO[bytes], listen: Listener) -> Document:
    """Listen to the end; a process that stops before it ran into its limits, or crashed."""
    while True:
        text = answers.readline(_LINE_LIMIT)
        if not text.endswith(b"\n"):
            message = "reading it ended early: too much time or memory, or a crash"
            return {"end": "limit", "message": message}
        line: Document = json.loads(text)
        if "end" in line:
            return line
        feed = listen(line)
        if line["content"]:
            _pass_on(answers, feed)


def _pass_on(answers: IO[bytes], feed: Feed | None) -> None:
    """Take the blocks of one dataset; an empty one is the last."""
    while left := int.from_bytes(answers.read(8), "little"):
        while left:
            data = answers.read(min(left, CHUNK))
            if not data:
                return
            left -= len(data)
            if feed is not None:
                feed(memoryview(data))
