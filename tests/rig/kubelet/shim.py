"""
Run one container's command and write down what becomes of it; outlives the stand-in, as containerd's shim a kubelet.

A program of its own (``python -I -S shim.py LOCK COMMAND...``, in the folder of the attempt given
by ``SHIM_FOLDER``), so it imports nothing of ours. It holds the lock that it inherits for as long
as it lives: whoever can take that lock knows that the container has ended. A child of a dead parent
cannot be waited for; a lock can.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from typing import IO

#: Longer lines are cut into several.
LINE_BYTES = 1 << 20
#: How long output may still come from a process that left the group, once the command has ended.
DRAIN_SECONDS = 1
START_ERROR = 128


def main(folder: str, command: list[str]) -> None:
    """Run the command to its end, in a session of its own."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    except OSError as error:
        _write(
            folder,
            "ended",
            {"code": START_ERROR, "at": time.time(), "error": f"{command[0]}: {error.strerror}"},
        )
        return
    _write(folder, "started", {"pid": process.pid, "at": time.time()})
    assert process.stdout
    copy = threading.Thread(
        target=_copy, args=(process.stdout, os.path.join(folder, "log")), daemon=True
    )
    copy.start()
    code = process.wait()
    # As with a container, nothing outlives process 1.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    copy.join(DRAIN_SECONDS)
    _write(folder, "ended", {"code": 128 - code if code < 0 else code, "at": time.time()})


def _copy(output: IO[bytes], path: str) -> None:
    with open(path, "ab", buffering=0) as log:
        while line := output.readline(LINE_BYTES):
            log.write(_stamp() + line.rstrip(b"\n") + b"\n")


def _stamp() -> bytes:
    seconds, fraction = divmod(time.time_ns(), 1_000_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:09d}Z ".encode()


def _write(folder: str, name: str, content: dict[str, object]) -> None:
    path = os.path.join(folder, name)
    with open(path + ".new", "w") as file:
        json.dump(content, file)
    os.replace(path + ".new", path)


if __name__ == "__main__":
    main(os.environ.pop("SHIM_FOLDER"), sys.argv[1:])
