"""The stand-in for the kubelet is killed and started again: what runs goes on, and nothing is told that is not so."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.rig.cluster import Cluster, Options
from tests.rig.kubelet import shim
from tests.rig.pods import PATIENT, Client
from tests.rig.processes import ROOT, marked
from tests.rig.waiting import until

pytestmark = [pytest.mark.rig, pytest.mark.slow]
KUBELET = "kubelet-node-0"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster(Options(kai=False, jobset=False, kueue=False)) as cluster:
        yield cluster


@pytest.fixture
def client(cluster: Cluster) -> Iterator[Client]:
    with Client(cluster) as client:
        yield client


def test_it_ends_on_sigterm_and_leaves_the_containers_running(
    cluster: Cluster, client: Client
) -> None:
    client.run("p", "echo $PPID; echo $$$$; sleep 60")
    client.wait("p", "Running")
    until(lambda: client.log("p").count("\n") == 2, "the process ids")
    processes = [psutil.Process(int(line)) for line in client.log("p").split()]
    kubelet = cluster.processes.find(KUBELET)
    assert kubelet is not None
    kubelet.terminate()
    kubelet.wait(60)
    assert all(process.is_running() for process in processes)
    cluster.restart(KUBELET)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_what_still_runs_is_adopted_as_it_is(
    cluster: Cluster, client: Client, number: int, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    client.run("p", f"echo before; until [ -e {go} ]; do sleep 0.05; done; echo after; exit 3")
    running = client.wait("p", "Running")["status"]
    until(lambda: client.log("p"), "its first word")
    cluster.processes.stop(KUBELET, number=number)
    cluster.start_part(KUBELET)
    assert client.log("p") == "before\n"
    go.touch()
    ended = client.wait("p", "Failed")["status"]
    was, now = running["containerStatuses"][0], ended["containerStatuses"][0]
    assert now["containerID"] == was["containerID"]
    assert now["state"]["terminated"]["startedAt"] == was["state"]["running"]["startedAt"]
    assert now["state"]["terminated"]["exitCode"] == 3
    assert (ended["podIP"], ended["startTime"]) == (running["podIP"], running["startTime"])
    assert client.log("p") == "before\nafter\n"
    assert client.events("p") == ["Normal Started: Started container main"]


def test_what_ended_in_between_is_told_with_its_true_end(
    cluster: Cluster, client: Client, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    client.run("p", f"until [ -e {go} ]; do sleep 0.05; done; echo done")
    client.wait("p", "Running")
    with _away(cluster):
        go.touch()
        _await_end(cluster, client, "p")
    client.wait("p", "Succeeded")
    assert client.log("p") == "done\n"


def test_what_was_killed_with_all_its_traces_has_an_unknown_end(
    cluster: Cluster, client: Client
) -> None:
    client.run("p", "sleep 60")
    client.wait("p", "Running")
    with _away(cluster):
        while processes := _processes(cluster, client, "p"):
            for process in processes:  # the shim first: it is to write nothing more
                process.kill()
    ended = client.wait("p", "Failed")["status"]["containerStatuses"][0]["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"]) == (137, "ContainerStatusUnknown")
    assert ended["message"] == "The container could not be located when the pod was terminated"
    assert "deletionTimestamp" not in client.get("p")["metadata"]


def test_a_pod_deleted_in_between_is_taken_down(cluster: Cluster, client: Client) -> None:
    client.run("p", PATIENT)
    client.wait("p", "Running")
    until(lambda: client.log("p"), "the trap")
    with _away(cluster):
        client.delete("p")
    client.wait_gone("p")
    assert "terminated 143 Error" in client.seen["p"][-1]


def test_a_pod_whose_object_went_in_between_leaves_nothing(
    cluster: Cluster, client: Client
) -> None:
    client.run("p", PATIENT)
    uid = client.wait("p", "Running")["metadata"]["uid"]
    folder = cluster.folder / "nodes" / "node-0" / "pods" / uid
    assert folder.exists()
    with _away(cluster):
        client.delete("p", grace=0)
        assert _processes(cluster, client, uid)
    assert not folder.exists()
    _await_end(cluster, client, uid)


def test_a_forced_deletion_ends_the_processes_too(cluster: Cluster, client: Client) -> None:
    client.run("p", PATIENT)
    uid = client.wait("p", "Running")["metadata"]["uid"]
    client.delete("p", grace=0)
    until(
        lambda: not (cluster.folder / "nodes" / "node-0" / "pods" / uid).exists(),
        "the end of the pod's folder",
    )
    _await_end(cluster, client, uid)


def test_a_pod_goes_on_while_the_api_server_is_away(
    cluster: Cluster, client: Client, tmp_path: Path
) -> None:
    go = tmp_path / "go"
    client.run("p", f"until [ -e {go} ]; do sleep 0.05; done; echo done")
    client.wait("p", "Running")
    cluster.stop_part("kube-apiserver")
    go.touch()
    cluster.start_part("kube-apiserver")
    client.wait("p", "Succeeded")
    assert client.log("p") == "done\n"


def test_who_does_not_get_the_port_touches_nothing(cluster: Cluster, tmp_path: Path) -> None:
    folder = tmp_path / "pods-of-another"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        flags = ["--kubeconfig", str(cluster.site.kubeconfig()), "--node", "node-0", "--port", port]
        command = [sys.executable, "-m", "tests.rig.kubelet", *flags, "--folder", str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr == (
        f"port {port} of 127.0.0.1: Address already in use; choose another, or end what listens there\n"
    )
    assert not folder.exists()


@contextlib.contextmanager
def _away(cluster: Cluster) -> Iterator[None]:
    cluster.stop_part(KUBELET)
    yield
    cluster.start_part(KUBELET)


def _await_end(cluster: Cluster, client: Client, pod: str) -> None:
    # A shim gives up its lock before its process is gone, so one may be seen for a moment more.
    until(lambda: not _processes(cluster, client, pod), "the end of the pod's processes")


def _processes(cluster: Cluster, client: Client, pod: str) -> list[psutil.Process]:
    """All processes of a pod, by name (while it is there) or uid; shims first."""
    uid = pod if "-" in pod else client.get(pod)["metadata"]["uid"]
    found = []
    for process in marked(cluster.folder):
        with contextlib.suppress(psutil.Error, OSError):
            if f"/{uid}/" in f"{process.cwd()}/":
                found.append((shim.__file__ not in process.cmdline(), process))
    return [process for _, process in sorted(found, key=lambda entry: entry[0])]
