"""Run:ai's own sets: many pods of one workload, each told its number."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator import Emulator, EmulatorSettings, serve

from .conftest import Client
from .test_processes import script

#: Says who it is, and waits for the others of its number of pods.
TELL = """#!/bin/sh
echo "$POD_INDEX of $COUNT, rank ${RANK:-none}" > "told-$POD_INDEX"
until [ "$(ls told-* | wc -l)" -ge "$COUNT" ]; do sleep 0.05; done
"""


def start(client: Client, name: str = "set", count: int = 1, **spec: Any) -> str:
    shared = {"hostPath": [{"path": "/nfs", "mountPath": "/mydir"}]}
    pods = [{"name": "COUNT", "value": str(count)}]
    words: dict[str, Any] = {"command": "./tell.sh", "workingDir": "/mydir", "storage": shared}
    return client.create(name, environmentVariables=pods, **words, **spec)


@pytest.mark.parametrize("parallelism", [1, 2, 3])
def test_each_pod_runs_once_with_its_number(tmp_path: Path, parallelism: int) -> None:
    script(tmp_path, "tell.sh", TELL)
    with serve(EmulatorSettings(volumes={"/nfs": tmp_path})) as emulator:
        client = Client(emulator)
        created = start(client, count=parallelism, completions=3, parallelism=parallelism)
        client.wait_for(created, "Completed", "Failed")
        phases = client.phases(created)
        (workload,) = emulator.workloads_named("set")
    told = {path.name: path.read_text().strip() for path in tmp_path.glob("told-*")}
    assert told == {f"told-{n}": f"{n} of {parallelism}, rank none" for n in range(3)}
    assert sorted(pod.index for pod in workload.pods) == [0, 1, 2]
    assert phases == ["Creating", "Pending", "Initializing", "Running", "Completed"]


def test_gpus_are_those_of_the_pods_that_run(stepped: Emulator, steps: Client) -> None:
    created = steps.create("one", completions=3, parallelism=2)
    stepped.advance(5)
    assert steps.workload(created)["allocatedResources"]["gpu"] == 2
    stepped.advance(60)
    assert steps.phase(created) == "Running"
    assert steps.workload(created)["allocatedResources"]["gpu"] == 1
    stepped.advance(60)
    assert steps.phase(created) == "Completed"
    assert steps.workload(created)["allocatedResources"]["gpu"] == 0


def test_a_preempted_set_goes_on_with_the_pods_that_are_left(
    stepped: Emulator, steps: Client
) -> None:
    created = steps.create("one", completions=2)
    stepped.advance(70)
    stepped.preempt("one")
    stepped.advance(200)
    (workload,) = stepped.workloads_named("one")
    assert steps.phase(created) == "Completed"
    assert [(pod.index, pod.incarnation) for pod in workload.pods] == [(0, 1), (1, 1), (1, 2)]


def test_logs_of_all_pods_are_kept(tmp_path: Path) -> None:
    script(tmp_path, "tell.sh", "#!/bin/sh\necho number $POD_INDEX\n")
    with serve(EmulatorSettings(volumes={"/nfs": tmp_path})) as emulator:
        client = Client(emulator)
        created = start(client, completions=2)
        client.wait_for(created, "Completed", "Failed")
        runtime = emulator.plane.processes
        assert runtime is not None
        assert [runtime.log("set", 1, pod=n) for n in (0, 1)] == [b"number 0\n", b"number 1\n"]
