"""Real child processes: what they see, how they end, and how they come back."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, serve
from tests.support.waiting import wait_until

from .conftest import Client

pytestmark = pytest.mark.slow

DUMP = f"""#!{sys.executable}
import json, os, sys
with open("seen.json", "w") as file:
    json.dump({{"argv": sys.argv, "env": dict(os.environ), "cwd": os.getcwd()}}, file)
"""
PATIENT = """#!/bin/bash
echo started $RUNAI_JOB_NAME on $NODE_NAME
mydir=$(dirname "$0")
ls -A > $mydir/found-$(ls $mydir | wc -l)
touch left-behind
trap 'echo told to stop; exit 1' TERM
sleep 100 & wait
"""


def script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_seed_line_runs_as_written(tmp_path: Path) -> None:
    """runai submit train1 -v /nfs/john:/mydir -g 1 --command ./startup.sh --working-dir /mydir/ -e EPOCHS=30."""
    script(tmp_path, "startup.sh", DUMP)
    with serve(EmulatorSettings(volumes={"/nfs/john": tmp_path})) as emulator:
        client = Client(emulator)
        created = client.create(
            "train1",
            command="./startup.sh",
            workingDir="/mydir/",
            environmentVariables=[{"name": "EPOCHS", "value": "30"}],
            storage={"hostPath": [{"path": "/nfs/john", "mountPath": "/mydir"}]},
        )
        client.wait_for(created, "Completed", "Failed")
        pod = client.get(f"/api/v1/workloads/{created}/pods")["pods"][0]
    seen = json.loads((tmp_path / "seen.json").read_text())
    assert seen["argv"] == ["./startup.sh"]
    assert Path(seen["cwd"]) == tmp_path
    expected = {
        "EPOCHS": "30",
        "JOB_NAME": "train1",
        "JOB_UUID": created,
        "POD_INDEX": "0",
        "POD_UUID": pod["id"],
        "NODE_NAME": pod["nodeName"],
        "RUNAI_PROJECT": "team-a",
        "RUNAI_JOB_NAME": "train1",
        "RUNAI_NUM_OF_GPUS": "1",
        "RUNAI_GRACE_SECONDS": "30",
        "CUDA_VISIBLE_DEVICES": "0",
    }
    assert {name: seen["env"][name] for name in expected} == expected
    assert set(seen["env"]) - set(expected) <= {"PATH", "LANG", "LC_CTYPE", "HOME", "TMPDIR"}
    assert seen["env"]["PATH"].startswith(str(Path(sys.executable).parent))


def test_arguments_arrive_byte_for_byte_and_mount_paths_are_translated(tmp_path: Path) -> None:
    script(tmp_path, "dump.py", DUMP)
    with serve(EmulatorSettings(volumes={"data": tmp_path})) as emulator:
        client = Client(emulator)
        created = client.create(
            "words",
            command="/data/dump.py",
            args="--lr '1e-3  x' --in=/data/a:/data/b,/database \"say \\\"hi\\\"\" '' ${HOME} *.txt ünï file:///data/x",
            workingDir="/data",
            storage={"pvc": [{"claimName": "data", "existingPvc": True, "path": "/data"}]},
        )
        client.wait_for(created, "Completed", "Failed")
    argv = json.loads((tmp_path / "seen.json").read_text())["argv"]
    here = str(tmp_path)
    translated = f"--in={here}/a:{here}/b,/database"
    expected = [
        f"{here}/dump.py",
        "--lr",
        "1e-3  x",
        translated,
        'say "hi"',
        "",
        "${HOME}",
        "*.txt",
        "ünï",
    ]
    assert argv == [*expected, "file:///data/x"]


def test_args_without_command_are_run_as_the_command(emulator: Emulator, client: Client) -> None:
    body = client.body("args-only", args="echo from args")
    del body["spec"]["command"]
    created = client.post("/api/v1/workloads/trainings", body).json()["workloadId"]
    client.wait_for(created, "Completed")
    assert emulator.log("args-only") == "from args\n"


def test_failure_is_retried_up_to_the_limit_and_tells_no_exit_code_as_the_real_api() -> None:
    with serve(EmulatorSettings(backoff_seconds=0.01, initializing_seconds=0.01)) as emulator:
        client = Client(emulator)
        created = client.create("bad", command="bash -c 'echo try; exit 7'", backoffLimit=2)
        found = client.wait_for(created, "Failed")
        assert found["phaseMessage"] == "Job has reached the specified backoff limit"
        assert [emulator.log("bad", number) for number in (1, 2, 3, 4)] == ["try\n"] * 3 + [""]
        reasons = [
            event["reason"] for event in client.get(f"/api/v1/workloads/{created}/events")["events"]
        ]
        assert reasons.count("BackOff") == 2
        assert client.phases(created).count("Running") == 3
        shown = client.get("/_emulator/workloads/bad/story")["incarnations"]
        assert [one["exit_codes"] for one in shown] == [[7], [7], [7]]


def test_command_that_does_not_exist_fails_with_a_readable_log(
    emulator: Emulator, client: Client
) -> None:
    created = client.create("missing", command="./nowhere.sh", backoffLimit=0)
    client.wait_for(created, "Failed")
    events = client.get(f"/api/v1/workloads/{created}/events")["events"]
    lacking = 'exec: "./nowhere.sh": stat ./nowhere.sh: no such file or directory: unknown'
    assert any(event["message"].endswith(lacking) for event in events)
    assert "nowhere.sh" in emulator.log("missing")


def test_unbalanced_quote_fails_the_workload_and_not_the_emulator(
    emulator: Emulator, client: Client
) -> None:
    created = client.create("quote", command="echo 'oops", backoffLimit=0)
    client.wait_for(created, "Failed")
    (pod,) = emulator.workloads_named("quote")[0].pods
    assert pod.exit_code == 126
    assert "No closing quotation" in emulator.log("quote")


def test_preempted_workload_comes_back_on_another_node_with_an_empty_disk(tmp_path: Path) -> None:
    script(tmp_path, "startup.sh", PATIENT)
    volume = {"nfs": [{"server": "nfs.x", "path": "/nfs/john", "mountPath": "/mydir"}]}
    with serve(EmulatorSettings(volumes={"/nfs/john": tmp_path})) as emulator:
        client = Client(emulator)
        fillers = [client.create(f"filler-{number}") for number in range(3)]
        created = client.create("train", command="bash -c 'exec /mydir/startup.sh'", storage=volume)
        for one in (*fillers, created):
            client.wait_for(one, "Running")
        first = client.get(f"/api/v1/workloads/{created}/pods")["pods"][0]
        local = emulator.root / "nodes" / first["nodeName"] / "train" / "1"
        wait_until((local / "left-behind").exists)
        rival = client.create("rival", project="team-b")
        client.wait_for(rival, "Running")
        assert client.phase(created) == "Pending"
        assert not local.exists()
        # Room appears on both nodes: it takes the one it was not on.
        for one in (*fillers, rival):
            client.http.delete(f"/api/v1/workloads/trainings/{one}")
        client.wait_for(created, "Running")
        second = client.get(f"/api/v1/workloads/{created}/pods")["pods"][0]
        wait_until(lambda: "started" in emulator.log("train", 2))
        history = client.history(created)
        assert "told to stop" in emulator.log("train", 1)
        assert "told to stop" not in emulator.log("train", 2)
    assert first["nodeName"] != second["nodeName"]
    assert ("Terminating", "Preempted: GPUs reclaimed by project team-b") in history
    wait_until(lambda: len(list(tmp_path.glob("found-*"))) == 2)
    assert [path.read_text() for path in tmp_path.glob("found-*")] == ["home\ntmp\n"] * 2


def test_whoever_ignores_sigterm_is_killed_after_the_grace_period(
    emulator: Emulator, client: Client
) -> None:
    stubborn = "bash -c 'trap \"\" TERM; echo $$; while true; do sleep 0.05; done'"
    created = client.create("stubborn", command=stubborn, terminationGracePeriodSeconds=1)
    client.wait_for(created, "Running")
    pid = int(wait_until(lambda: emulator.log("stubborn")))
    client.post(f"/api/v1/workloads/trainings/{created}/suspend")
    client.wait_for(created, "Stopped")
    assert not is_alive(pid)
    warned, killed = [
        record.at for record in emulator.workloads_named("stubborn")[0].history if record.phase
    ][-2:]
    assert client.phases(created)[-2:] == ["Stopping", "Stopped"]
    assert killed - warned >= 1


def test_grace_is_capped_by_the_emulator() -> None:
    with serve(EmulatorSettings(grace=0.2)) as emulator:
        client = Client(emulator)
        created = client.create(
            "stubborn", command="bash -c 'trap \"\" TERM; while true; do sleep 0.05; done'"
        )
        client.wait_for(created, "Running")
        client.http.delete(f"/api/v1/workloads/trainings/{created}")
        wait_until(lambda: emulator.workloads_named("stubborn")[0].deleted_at)


def test_children_of_the_workload_die_with_it(emulator: Emulator, client: Client) -> None:
    created = client.create("parent", command="bash -c 'sleep 100 & echo $!; exit 0'")
    client.wait_for(created, "Completed")
    pid = int(emulator.log("parent"))
    wait_until(lambda: not is_alive(pid))


def test_exit_zero_while_being_preempted_is_completion(emulator: Emulator, client: Client) -> None:
    created = client.create(
        "polite", command="bash -c 'trap \"exit 0\" TERM; echo ready; sleep 100 & wait'"
    )
    wait_until(lambda: emulator.log("polite"))
    assert client.post("/_emulator/workloads/polite/preempt").status_code == 202
    client.wait_for(created, "Completed")


def test_exit_code_while_being_preempted_is_not_a_failure(
    emulator: Emulator, client: Client
) -> None:
    command = "bash -c 'trap \"exit 9\" TERM; echo ready; sleep 100 & wait'"
    created = client.create("impolite", command=command, backoffLimit=0)
    wait_until(lambda: emulator.log("impolite"))
    emulator.preempt("impolite")
    wait_until(lambda: client.phases(created).count("Running") == 2)
    assert [pod.exit_code for pod in emulator.workloads_named("impolite")[0].pods] == [9, None]


def test_suspend_and_resume(emulator: Emulator, client: Client) -> None:
    created = client.create("paused")
    client.wait_for(created, "Running")
    client.post(f"/api/v1/workloads/trainings/{created}/suspend")
    client.wait_for(created, "Stopped")
    client.post(f"/api/v1/workloads/trainings/{created}/resume")
    client.wait_for(created, "Running")
    suspended = ["Stopping", "Stopped", "Resuming", "Pending", "Initializing", "Running"]
    assert client.phases(created) == ["Creating", "Pending", "Initializing", "Running", *suspended]


def test_distributed_gang_has_ranks_and_fails_and_restarts_together(
    emulator: Emulator, client: Client
) -> None:
    command = (
        "bash -c 'echo rank $RANK of $WORLD_SIZE at $MASTER_ADDR:$MASTER_PORT; [ $RANK != 1 ]'"
    )
    created = client.distributed(
        "gang", command=command, numWorkers=2, backoffLimit=0, masterSpecSameAsWorker=True
    )
    client.wait_for(created, "Failed", "Completed")
    logs = emulator.root / "logs" / "gang"
    first = [line.read_text().split(" at ")[0] for line in sorted(logs.iterdir())]
    assert first[0] == "rank 1 of 3" or "rank 0 of 3" in first


def test_distributed_completes_when_all_have(emulator: Emulator, client: Client) -> None:
    created = client.distributed(
        "gang", command="bash -c 'echo rank $RANK of $WORLD_SIZE'", numWorkers=3
    )
    client.wait_for(created, "Completed")
    logs = emulator.root / "logs" / "gang"
    assert {line.read_text() for line in logs.iterdir()} == {
        f"rank {rank} of 3\n" for rank in range(3)
    }


def test_workers_of_an_mpi_job_wait_for_its_launcher(emulator: Emulator, client: Client) -> None:
    master = {"command": "bash -c 'echo launched'", "compute": {"gpuDevicesRequest": 0}}
    created = client.distributed(
        "mpi",
        distributedFramework="MPI",
        numWorkers=2,
        backoffLimit=0,
        command=None,
        masterSpec=master,
    )
    client.wait_for(created, "Completed")
    assert emulator.log("mpi") == "launched\n"


def test_nothing_of_the_emulators_own_environment_leaks(
    monkeypatch: pytest.MonkeyPatch, emulator: Emulator, client: Client
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_SECRET", "do-not-leak")
    created = client.create("curious", command="env")
    client.wait_for(created, "Completed")
    assert "do-not-leak" not in emulator.log("curious")


def test_no_process_survives_the_emulator() -> None:
    with serve(EmulatorSettings()) as emulator:
        client = Client(emulator)
        client.create("orphan", command="bash -c 'echo $$; sleep 100'")
        pid = int(wait_until(lambda: emulator.log("orphan")))
        assert os.getpgid(pid) == pid
    assert not is_alive(pid)


def test_logs_are_served_to_those_with_a_token(emulator: Emulator, client: Client) -> None:
    created = client.create("talker", command="echo hello")
    client.wait_for(created, "Completed")
    assert client.get("/_emulator/workloads/talker/logs")["log"] == "hello\n"
    assert client.http.get("/_emulator/workloads/talker/logs?incarnation=x").status_code == 400
    assert client.http.get("/_emulator/workloads/..%2F..%2Fetc/logs").status_code == 404


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="memory is read from /proc")
def test_who_exceeds_the_memory_limit_is_killed_and_the_node_says_so(
    emulator: Emulator, client: Client
) -> None:
    hungry = f"{sys.executable} -c 'held = bytearray(300 * 2**20); import time; time.sleep(99)'"
    limit: dict[str, Any] = {
        "compute": {"gpuDevicesRequest": 1, "cpuMemoryLimit": "100Mi"},
        "backoffLimit": 0,
    }
    created = client.create("hungry", command=hungry, **limit)
    client.wait_for(created, "Failed")
    (pod,) = emulator.workloads_named("hungry")[0].pods
    assert pod.exit_code == 137
    events = client.get(f"/api/v1/workloads/{created}/events")["events"]
    assert [e["reason"] for e in events if "out of memory" in e["message"]] == ["OOMKilling"]
