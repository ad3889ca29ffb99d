"""
The rig proves itself: it starts, serves, survives what is done to it, and leaves nothing behind.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import pytest

from tests.rig import ports
from tests.rig.api import Api, ApiError
from tests.rig.building import programs
from tests.rig.cluster import Cluster, Options, RigError
from tests.rig.processes import ROOT, Processes, marked
from tests.rig.waiting import until
from tests.support.signals import ignoring

pytestmark = [pytest.mark.rig, pytest.mark.slow]
#: The smallest cluster; what is tested here does not depend on the others.
PLAIN = Options(kai=False, jobset=False, kueue=False)
#: A test run that gets no further than to start a cluster.
OWNER = """
import sys, time
from pathlib import Path
from tests.rig.cluster import Cluster, Options
Cluster(Options(kai=False, jobset=False, kueue=False), folder=Path(sys.argv[1])).start()
print("up", flush=True)
time.sleep(600)
"""


@pytest.fixture(scope="module")
def plain() -> Iterator[Cluster]:
    with Cluster(PLAIN) as cluster:
        yield cluster


def test_each_user_may_do_what_its_role_says_and_no_more(plain: Cluster) -> None:
    jobs, pods = "/apis/batch/v1/namespaces/team-a/jobs", "/api/v1/namespaces/team-a/pods"
    answers = {
        (user, path): _status(plain.user(user), path)
        for user in ("airflow", "blind", "nothing")
        for path in (jobs, pods)
    }
    assert answers == {
        ("airflow", jobs): 200,
        ("airflow", pods): 200,
        ("blind", jobs): 200,
        ("blind", pods): 403,
        ("nothing", jobs): 403,
        ("nothing", pods): 403,
    }
    assert _status(plain.user("airflow"), "/api/v1/namespaces/default/secrets") == 403


def test_everything_listens_on_loopback_only(plain: Cluster) -> None:
    listening = {
        connection.laddr.ip
        for process in marked(plain.folder)
        for connection in process.net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    }
    assert listening == {"127.0.0.1"}


def test_a_part_can_be_ended_and_started_again(plain: Cluster) -> None:
    plain.add_namespace("kept")
    before = plain.processes.find("kube-apiserver")
    plain.restart("kube-apiserver")
    after = plain.processes.find("kube-apiserver")
    assert before is not None
    assert after is not None
    assert before.pid != after.pid
    assert plain.api.get("/api/v1/namespaces/kept")["metadata"]["name"] == "kept"


def test_an_unknown_part_is_named_with_those_that_there_are(plain: Cluster) -> None:
    with pytest.raises(
        RigError, match="'kube-proxy' is no part of this cluster; it has etcd, kube-apiserver"
    ):
        plain.restart("kube-proxy")


def test_a_pid_of_another_boot_is_no_part_of_the_cluster(tmp_path: Path) -> None:
    processes = Processes(tmp_path)
    (tmp_path / "pids" / "etcd").write_text(str(os.getpid()))
    assert processes.find("etcd") is None
    processes.stop("etcd", grace=0)  # would end this very process if it believed the file
    assert not (tmp_path / "pids" / "etcd").exists()


def test_a_part_is_found_from_the_moment_of_its_start(tmp_path: Path) -> None:
    found = programs()
    assert found is not None
    processes = Processes(tmp_path)
    for number in range(20):
        processes.start(f"part-{number}", [found.path("kube-apiserver"), "--version"])
        assert processes.find(f"part-{number}") is not None
        processes.stop(f"part-{number}", grace=0)


def test_a_port_that_is_taken_before_its_use_costs_one_more_try() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    tries: list[Sequence[str]] = []

    def first_a_taken_one(uses: Sequence[str]) -> dict[str, int]:
        tries.append(uses)
        chosen = ports.choose(uses)
        return chosen | {"kube-apiserver": taken.getsockname()[1]} if len(tries) == 1 else chosen

    with taken, Cluster(PLAIN, choose=first_a_taken_one) as cluster:
        assert cluster.api.get("/readyz/ping") == {}
    assert len(tries) == 2


def test_a_failed_start_says_why_and_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        always = _always(taken.getsockname()[1])
        with pytest.raises(
            RigError, match=r"etcd: its port was taken(.|\n)*address already in use"
        ):
            Cluster(PLAIN, folder=folder, choose=always).start()
    assert marked(folder) == []
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_test_run_leaves_no_process_and_no_folder(number: int, tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    owner = subprocess.Popen(
        ignoring([], [sys.executable, "-c", OWNER, str(folder)]), cwd=ROOT, stdout=subprocess.PIPE
    )
    assert owner.stdout is not None
    assert owner.stdout.readline() == b"up\n"
    assert marked(folder)
    owner.send_signal(number)
    owner.wait()
    until(
        lambda: not marked(folder) and not folder.exists(),
        "the end of what a killed run left",
    )


def test_the_command_line_starts_shows_restarts_and_ends_a_cluster(tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    up = _rig(folder, "up", "--no-kai", "--no-jobset", "--no-kueue")
    try:
        assert up.returncode == 0, up.stderr
        assert f"export KUBECONFIG={folder}" in up.stdout
        assert _rig(folder, "status").returncode == 0
        again = _rig(folder, "up")
        assert again.returncode == 1
        assert "a cluster runs already" in again.stderr
        assert _rig(folder, "restart", "kube-scheduler").returncode == 0
        Cluster.attach(folder).stop_part("kube-scheduler")
        status = _rig(folder, "status")
        assert status.returncode == 1
        assert "kube-scheduler             does not run" in status.stdout
    finally:
        down = _rig(folder, "down")
    assert down.returncode == 0, down.stderr
    assert marked(folder) == []
    assert not folder.exists()


@pytest.mark.parametrize(
    "command", [["status"], ["down"], ["restart", "etcd"], ["expire-history"], ["up"]]
)
def test_the_command_line_touches_no_folder_that_is_not_a_cluster(
    command: list[str], tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    done = _rig(tmp_path, *command)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"rig: {tmp_path}: there is no cluster here. `python -m tests.rig up` starts one\n"
    )
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_without_kai_is_refused_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNAI_RIG_KAI", str(tmp_path))
    with pytest.raises(RigError, match="no executable file `start`"):
        Cluster(folder=tmp_path / "cluster").start()
    assert not (tmp_path / "cluster").exists()


@pytest.mark.parametrize(
    "cycle", [0, 1, *(pytest.param(n, marks=pytest.mark.qualify) for n in range(2, 20))]
)
def test_a_whole_cluster_starts_and_stops_without_a_leftover(cycle: int) -> None:
    with Cluster() as cluster:
        folder, used = cluster.folder, dict(cluster.site.ports)
        assert all(cluster.processes.find(name) for name in cluster.parts)
    assert marked(folder) == []
    assert not folder.exists()
    assert [use for use, port in used.items() if not _is_free(port)] == []


def _status(api: Api, path: str) -> int:
    try:
        return api.ask("GET", path).status_code
    except ApiError as error:
        return error.status


def _rig(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.rig", "--folder", str(folder), *words]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def _always(port: int) -> Callable[[Sequence[str]], dict[str, int]]:
    return lambda uses: ports.choose(uses) | {"etcd": port}


def _is_free(port: int) -> bool:
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
