"""
Workloads as real child processes: one per pod, each the leader of its own session and process group.

There are no containers: no image is pulled, no resource is limited, and its entry point is unknown,
so that ``args`` without ``command`` are run as the command. SIGTERM goes to the whole process group
(Kubernetes sends it to the first process only). A child that makes a session of its own can escape;
everything else dies with its pod, and all pods die with the emulator (``process_reaper.py``).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from airflow_runai.emulator import environment, volumes
from airflow_runai.emulator.environment import Surroundings
from airflow_runai.emulator.process_reaper import ProcessReaper
from airflow_runai.emulator.records import EmulatedWorkload, Pod

NOT_FOUND, NOT_EXECUTABLE = 127, 126


class ProcessRuntime:
    """
    Starts and stops processes.

    :param root: the state directory: ``logs/``, ``nodes/``, ``volumes/`` and ``run/`` live in it.
    :param mapped: claim name, source or container path to local directory.
    :param grace: upper limit for the grace period a pod is told about; None for none.
    """

    def __init__(
        self,
        root: Path,
        mapped: Mapping[str, str | Path],
        projects: Mapping[str, str],
        grace: float | None,
    ) -> None:
        self._root = root
        self._mapped = {key: Path(directory).absolute() for key, directory in mapped.items()}
        self._projects = projects
        self._grace = grace
        self._reaper = ProcessReaper(root / "run")
        self._running: dict[str, list[subprocess.Popen[bytes] | int]] = {}

    def start(self, workload: EmulatedWorkload, now: float) -> None:
        """Start all pods; one that cannot be started counts as ended with 126 or 127."""
        if workload.incarnation == 1:
            shutil.rmtree(self._logs(workload), ignore_errors=True)
        pods = workload.live_pods
        port = environment.free_port() if len(pods) > 1 else 0
        self._running[workload.id] = [
            self._start_pod(workload, pod, len(pods), port) for pod in pods
        ]

    def exits(self, workload: EmulatedWorkload, now: float) -> Sequence[int | None]:
        """Tell the exit code of each pod as a shell would (128 + signal)."""
        return [_exit_code(entry) for entry in self._running.get(workload.id, [])]

    def terminate(self, workload: EmulatedWorkload, now: float) -> None:
        """Send SIGTERM to each pod's process group."""
        self._signal(workload, signal.SIGTERM)

    def kill(self, workload: EmulatedWorkload, now: float) -> None:
        """Send SIGKILL to each pod's process group, and bury what it leaves."""
        self._signal(workload, signal.SIGKILL)

    def discard(self, workload: EmulatedWorkload) -> None:
        """End what is left of the process groups and wipe the node-local disks."""
        self._signal(workload, signal.SIGKILL)
        for entry in self._running.pop(workload.id, []):
            if not isinstance(entry, int):
                entry.wait()
                self._reaper.release(entry.pid)
        for pod in workload.live_pods:
            shutil.rmtree(self._local(workload, pod), ignore_errors=True)

    def leaders(self, workload: EmulatedWorkload) -> list[int]:
        """List the process ids of the first process of each pod that was started."""
        return [
            entry.pid for entry in self._running.get(workload.id, []) if not isinstance(entry, int)
        ]

    def due(self, workload: EmulatedWorkload) -> float | None:
        """Nobody knows when a process ends."""
        return None

    def log(self, name: str, incarnation: int | None = None, last: int | None = None) -> bytes:
        """
        Read what a workload's first pod wrote.

        :param name: the workload's name.
        :param incarnation: which one; None for all, oldest first.
        :param last: read only so many bytes from the end of each; it may be long.
        """
        folder = self._root / "logs" / name
        if incarnation is not None:
            path = folder / f"{incarnation}.log"
            return _end(path, last) if path.exists() else b""
        files = [path for path in folder.glob("*.log") if path.stem.isdigit()]
        return b"".join(_end(path, last) for path in sorted(files, key=lambda path: int(path.stem)))

    def close(self) -> None:
        """Let go of everything; whatever still runs is killed."""
        for entries in self._running.values():
            for entry in entries:
                if not isinstance(entry, int):
                    _send(entry, signal.SIGKILL)
                    entry.wait()
        self._reaper.close()

    def _start_pod(
        self, workload: EmulatedWorkload, pod: Pod, pods: int, port: int
    ) -> subprocess.Popen[bytes] | int:
        log = self._log_file(workload, pod)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            try:
                return self._spawn(
                    workload,
                    pod,
                    Surroundings(self._project(workload), pods, port, self._grace),
                    output,
                )
            except Exception as error:  # whatever is wrong with a spec, it fails its own workload and nobody else's
                output.write(f"cannot start: {type(error).__name__}: {error}\n".encode())
                return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE

    def _spawn(
        self, workload: EmulatedWorkload, pod: Pod, around: Surroundings, output: IO[bytes]
    ) -> subprocess.Popen[bytes]:
        local = self._local(workload, pod)
        shutil.rmtree(local, ignore_errors=True)
        spec = environment.spec_of(workload, pod)
        found = volumes.mounts(spec, workload.name)
        places = volumes.Places(found, self._mapped, self._root / "volumes", local)
        places.make()
        folder = places.working_directory(spec.get("workingDir"))
        folder.mkdir(parents=True, exist_ok=True)
        child = subprocess.Popen(
            places.arguments(_words(pod, spec)),
            cwd=folder,
            env=environment.variables(workload, pod, around, places),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reaper.hold(child.pid)
        return child

    def _project(self, workload: EmulatedWorkload) -> str:
        return self._projects.get(workload.project_id, workload.project_id)

    def _signal(self, workload: EmulatedWorkload, number: signal.Signals) -> None:
        for entry in self._running.get(workload.id, []):
            if not isinstance(entry, int):
                _send(entry, number)

    def _logs(self, workload: EmulatedWorkload) -> Path:
        return self._root / "logs" / workload.name

    def _log_file(self, workload: EmulatedWorkload, pod: Pod) -> Path:
        suffix = f"-pod{pod.index}" if pod.index else ""
        return self._logs(workload) / f"{workload.incarnation}{suffix}.log"

    def _local(self, workload: EmulatedWorkload, pod: Pod) -> Path:
        folder = self._root / "nodes" / pod.node / workload.name / str(workload.incarnation)
        return folder / f"pod{pod.index}" if len(workload.gpu_demand) > 1 else folder


def _words(pod: Pod, spec: dict[str, Any]) -> list[str]:
    """Split what a pod runs; an MPI worker without a command waits for its launcher, as under the operator's sshd."""
    idle = spec.get("distributedFramework") == "MPI" and pod.role == "worker"
    if idle and not (spec.get("command") or spec.get("args")):
        return ["sleep", "infinity"]
    return command_line(spec.get("command"), spec.get("args"))


def command_line(command: str | None, args: str | None) -> list[str]:
    """
    Split ``command`` and ``args`` as a shell splits words; there is no entry point to fall back to.

    :raises ValueError: nothing to run, or a quote is not closed.
    """
    words = shlex.split(command or "") + shlex.split(args or "")
    if not words:
        raise ValueError(
            "neither command nor args: the emulator has no image whose entry point it could run"
        )
    return words


def _end(path: Path, last: int | None) -> bytes:
    with path.open("rb") as file:
        if last is not None:
            file.seek(max(0, path.stat().st_size - last))
        return file.read(-1 if last is None else last)


def _exit_code(entry: subprocess.Popen[bytes] | int) -> int | None:
    code = entry if isinstance(entry, int) else entry.poll()
    return 128 - code if code is not None and code < 0 else code


def _send(child: subprocess.Popen[bytes], number: signal.Signals) -> None:
    """Signal a process group; its id stays taken as long as the leader has not been waited for or members live."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
