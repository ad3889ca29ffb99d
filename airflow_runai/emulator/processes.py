"""
Workloads as real child processes: one per pod, each the leader of its own session and group.

There are no containers: no image is pulled, only main memory is limited (``memory_limits.py``), and
the image's entry point is unknown, so ``args`` without ``command`` are run as the command. SIGTERM
goes to the whole process group (Kubernetes sends it to the first process only). A child that makes
a session of its own can escape; all other children die with their pod, and all pods die with the
emulator (``process_reaper.py``).
"""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from airflow_runai.emulator import environment, volumes
from airflow_runai.emulator.environment import PodContext
from airflow_runai.emulator.memory_limits import PAUSE, memory_limit, own_bytes
from airflow_runai.emulator.obstacles import not_started
from airflow_runai.emulator.process_reaper import ProcessReaper
from airflow_runai.emulator.records import EmulatedWorkload, Pod

NOT_FOUND = 127
NOT_EXECUTABLE = 126
Child = subprocess.Popen[bytes]


class ProcessRuntime:
    """
    Starts and stops processes.

    :param root: the state directory: ``logs/``, ``nodes/``, ``volumes/`` and ``run/`` are in it.
    :param mapped: claim name, source or container path to local directory.
    :param projects: project id to name.
    :param grace: upper limit for the grace period a pod is told; None for no limit.
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
        # For each pod its process, or the exit code of one that could not be started.
        self._pods: dict[str, list[Child | int]] = {}
        self._complaints: dict[str, tuple[str, str]] = {}
        self._measured_at: dict[str, float] = {}

    def start(self, workload: EmulatedWorkload, now: float) -> None:
        """Start all pods; a pod that cannot be started counts as ended with 126 or 127."""
        if (
            workload.incarnation == 1 and not workload.succeeded
        ):  # the logs are of an earlier workload of this name
            shutil.rmtree(self._logs(workload), ignore_errors=True)
        pods = workload.live_pods
        # Only pods of a gang have to meet.
        port = environment.free_port() if len(pods) > 1 else 0
        project = self._projects.get(workload.project_id, workload.project_id)
        context = PodContext(project, len(pods), port, self._grace)
        self._pods[workload.id] = [self._start_pod(workload, pod, context) for pod in pods]

    def exits(self, workload: EmulatedWorkload, now: float) -> Sequence[int | None]:
        """Return the exit code of each pod as a shell does (128 + signal)."""
        self._keep_memory_limit(workload, now)
        return [_exit_code(pod) for pod in self._pods.get(workload.id, [])]

    def complaint(self, workload: EmulatedWorkload) -> tuple[str, str] | None:
        """Return what a node would say: it cannot run the command, or killed it for its memory."""
        return self._complaints.get(workload.id)

    def terminate(self, workload: EmulatedWorkload, now: float) -> None:
        """Send SIGTERM to each pod's process group."""
        self._signal(workload, signal.SIGTERM)

    def kill(self, workload: EmulatedWorkload, now: float) -> None:
        """Send SIGKILL to each pod's process group."""
        self._signal(workload, signal.SIGKILL)

    def discard(self, workload: EmulatedWorkload) -> None:
        """End what is left of the process groups and wipe the node-local disks."""
        # The leader may have ended and left children behind.
        self._signal(workload, signal.SIGKILL)
        for child in self._children(workload.id):
            # Until then its id is taken, and must not be forgotten.
            child.wait()
            self._reaper.release(child.pid)
        self._pods.pop(workload.id, None)
        self._complaints.pop(workload.id, None)
        self._measured_at.pop(workload.id, None)
        for pod in workload.live_pods:
            shutil.rmtree(self._local(workload, pod), ignore_errors=True)

    def _keep_memory_limit(self, workload: EmulatedWorkload, now: float) -> None:
        limit = memory_limit(workload.spec)
        if limit is None or now < self._measured_at.get(workload.id, 0.0) + PAUSE:
            return
        self._measured_at[workload.id] = now
        for child in self._children(workload.id):
            if child.poll() is None and own_bytes(child.pid) > limit:
                _send(child, signal.SIGKILL)
                killed = f"Memory cgroup out of memory: Killed process {child.pid}"
                self._complaints[workload.id] = ("OOMKilling", killed)

    def leaders(self, workload: EmulatedWorkload) -> list[int]:
        """List the process ids of the first process of each pod that was started."""
        return [child.pid for child in self._children(workload.id)]

    def due(self, workload: EmulatedWorkload) -> float | None:
        """Return None: when a process ends is not known."""
        return None

    def log(
        self,
        name: str,
        incarnation: int | None = None,
        last: int | None = None,
        pod: int = 0,
    ) -> bytes:
        """
        Read the output of one of a workload's pods.

        :param name: the workload's name.
        :param incarnation: which one; None for all of the first pod, oldest first.
        :param last: number of bytes to read from the end of each log; None reads it in full.
        :param pod: its index in its incarnation.
        """
        folder = self._root / "logs" / name
        # A page shows one incarnation, a test the whole life.
        if incarnation is not None:
            path = folder / _log_name(incarnation, pod)
            return _end(path, last) if path.exists() else b""
        files = [path for path in folder.glob("*.log") if path.stem.isdigit()]
        return b"".join(_end(path, last) for path in sorted(files, key=lambda path: int(path.stem)))

    def close(self) -> None:
        """Kill all processes that still run."""
        for workload_id in self._pods:
            for child in self._children(workload_id):
                _send(child, signal.SIGKILL)
                child.wait()
        self._reaper.close()

    def _start_pod(
        self,
        workload: EmulatedWorkload,
        pod: Pod,
        context: PodContext,
    ) -> Child | int:
        log = self._log_file(workload, pod)
        # A user may have removed the logs of a workload that still runs.
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            try:
                return self._spawn(workload, pod, context, output)
            # Whatever is wrong with a spec, it fails its own workload and no other.
            except Exception as error:
                output.write(f"cannot start: {type(error).__name__}: {error}\n".encode())
                self._complaints[workload.id] = not_started(_program(pod, workload), error)
                return NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE

    def _spawn(
        self,
        workload: EmulatedWorkload,
        pod: Pod,
        context: PodContext,
        output: IO[bytes],
    ) -> Child:
        spec = environment.spec_of(workload, pod)
        places = self._places(workload, pod, spec)
        folder = places.working_directory(spec.get("workingDir"))
        # As runc does: a wrong one is empty, and what is not in it is missed there.
        folder.mkdir(parents=True, exist_ok=True)
        child = subprocess.Popen(
            places.arguments(_argv(pod, spec)),
            cwd=folder,
            env=environment.variables(workload, pod, context, places),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        self._reaper.hold(child.pid)
        return child

    def _places(
        self,
        workload: EmulatedWorkload,
        pod: Pod,
        spec: dict[str, Any],
    ) -> volumes.Places:
        """Map the mounts to directories, on an empty node-local disk."""
        local = self._local(workload, pod)
        # Another incarnation may have been here, and its disk must not be found again.
        shutil.rmtree(local, ignore_errors=True)
        mounts = volumes.mounts(spec, workload.name)
        places = volumes.Places(mounts, self._mapped, self._root / "volumes", local)
        places.make()
        return places

    def _children(self, workload_id: str) -> Iterator[Child]:
        pods = self._pods.get(workload_id, [])
        return (pod for pod in pods if not isinstance(pod, int))

    def _signal(self, workload: EmulatedWorkload, number: signal.Signals) -> None:
        for child in self._children(workload.id):
            _send(child, number)

    def _logs(self, workload: EmulatedWorkload) -> Path:
        return self._root / "logs" / workload.name

    def _log_file(self, workload: EmulatedWorkload, pod: Pod) -> Path:
        return self._logs(workload) / _log_name(workload.incarnation, pod.index)

    def _local(self, workload: EmulatedWorkload, pod: Pod) -> Path:
        folder = self._root / "nodes" / pod.node / workload.name / str(workload.incarnation)
        return folder / f"pod{pod.index}" if len(workload.gpu_demand) > 1 else folder


def _program(pod: Pod, workload: EmulatedWorkload) -> str:
    with contextlib.suppress(ValueError):
        return _argv(pod, environment.spec_of(workload, pod))[0]
    return ""


def _argv(pod: Pod, spec: dict[str, Any]) -> list[str]:
    """Split a pod's command; an MPI worker without one waits for its launcher, as under sshd."""
    command = spec.get("command")
    args = spec.get("args")
    # Under MPI only the launcher has a command; it starts the workers itself.
    is_mpi_worker = spec.get("distributedFramework") == "MPI" and pod.role == "worker"
    if is_mpi_worker and not (command or args):
        return ["sleep", "infinity"]
    return command_line(command, args)


def command_line(command: str | None, args: str | None) -> list[str]:
    """
    Split ``command`` and ``args`` as a shell splits words; there is no entry point to fall back to.

    :raises ValueError: nothing to run, or a quote is not closed.
    """
    argv = shlex.split(command or "") + shlex.split(args or "")
    if not argv:
        raise ValueError(
            "neither command nor args: the emulator has no image whose entry point it could run"
        )
    return argv


def _log_name(incarnation: int, pod: int) -> str:
    return f"{incarnation}-pod{pod}.log" if pod else f"{incarnation}.log"


def _end(path: Path, last: int | None) -> bytes:
    with path.open("rb") as file:
        if last is not None:
            file.seek(max(0, path.stat().st_size - last))
        return file.read(-1 if last is None else last)


def _exit_code(pod: Child | int) -> int | None:
    code = pod if isinstance(pod, int) else pod.poll()
    return 128 - code if code is not None and code < 0 else code


def _send(child: Child, number: signal.Signals) -> None:
    """Signal a process group; its id stays taken until the leader is waited for."""
    # It may end at any moment, and macOS denies signals to a process that has ended.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, number)
