"""`kubectl` works on the rig as on any cluster: who knows how to look around in one can look around in the other."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from tests.rig.api import Object
from tests.rig.lanes import Lane

pytestmark = [pytest.mark.rig, pytest.mark.slow]
PROGRAM = Path(sys.executable).with_name("kubectl")
#: Says which process it is, and waits until it may go on. Of each `$$`, Kubernetes itself takes one
#: `$`.
PATIENT = "echo first $$$$; until [ -e {gate} ]; do sleep 0.05; done; echo last"

Kubectl = Callable[..., str]
Follow = Callable[[str], "subprocess.Popen[str]"]


@pytest.fixture
def command(rig_lane: Lane, tmp_path: Path) -> Callable[..., list[str]]:
    """The words of a `kubectl` command as one of the users, in the lane's namespace."""

    def words(*more: str, user: str = "airflow") -> list[str]:
        where = [
            f"--kubeconfig={rig_lane.cluster.kubeconfig(user)}",
            f"--namespace={rig_lane.namespace}",
        ]
        return [str(PROGRAM), f"--cache-dir={tmp_path / 'cache'}", *where, *more]

    return words


@pytest.fixture
def kubectl(command: Callable[..., list[str]]) -> Kubectl:
    """Run `kubectl` to its end and return what it prints; a failure of it is one of the test."""

    def run(*more: str, user: str = "airflow", stdin: str = "") -> str:
        done = subprocess.run(
            command(*more, user=user), input=stdin, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture
def follow(command: Callable[..., list[str]]) -> Iterator[Follow]:
    """Follow the log of a Job; what is still followed at the end is ended."""
    with ExitStack() as open_ones:

        def begin(job: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(
                command("logs", "-f", f"job/{job}"), stdout=subprocess.PIPE, text=True
            )
            open_ones.enter_context(process)
            open_ones.callback(process.kill)
            return process

        yield begin


def test_a_job_is_applied_waited_for_looked_at_and_deleted(
    rig_lane: Lane, kubectl: Kubectl
) -> None:
    assert (
        kubectl("apply", "-f", "-", stdin=manifest(rig_lane, "whole", "echo done"))
        == "job.batch/whole created\n"
    )
    assert "condition met" in kubectl(
        "wait", "--for=condition=complete", "job/whole", "--timeout=1h"
    )
    assert kubectl("logs", "job/whole") == "done\n"
    (pod,) = kubectl(
        "get", "pods", "-l", "job-name=whole", "-o", "wide", "--no-headers"
    ).splitlines()
    assert pod.split()[1:3] == ["0/1", "Completed"]
    assert rig_lane.name in pod.split()
    described = kubectl("describe", "pod", "-l", "job-name=whole")
    assert "Exit Code:    0" in described
    assert "Started container main" in described
    kubectl("delete", "job", "whole", "--cascade=foreground")
    assert kubectl("get", "jobs,pods", "-o", "name") == ""


def test_a_log_is_followed_while_its_container_runs(
    rig_lane: Lane, kubectl: Kubectl, follow: Follow, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    kubectl("apply", "-f", "-", stdin=manifest(rig_lane, "followed", PATIENT.format(gate=gate)))
    kubectl("wait", "--for=jsonpath={.status.ready}=1", "job/followed", "--timeout=1h")
    following = follow("followed")
    assert following.stdout is not None
    assert following.stdout.readline().startswith("first ")
    gate.touch()  # only now can the container end: the line before came while it ran
    assert following.stdout.read() == "last\n"
    assert following.wait() == 0
    kubectl("wait", "--for=condition=complete", "job/followed", "--timeout=1h")


def test_nothing_is_left_of_a_running_job_that_is_deleted(
    rig_lane: Lane, kubectl: Kubectl, follow: Follow, tmp_path: Path
) -> None:
    kubectl(
        "apply",
        "-f",
        "-",
        stdin=manifest(rig_lane, "deleted", PATIENT.format(gate=tmp_path / "never")),
    )
    kubectl("wait", "--for=jsonpath={.status.ready}=1", "job/deleted", "--timeout=1h")
    log = follow("deleted").stdout
    assert log is not None
    process = psutil.Process(int(log.readline().split()[1]))
    kubectl("delete", "job", "deleted", "--cascade=foreground")
    assert not process.is_running()
    assert kubectl("get", "pods", "-l", "job-name=deleted", "-o", "name") == ""


@pytest.mark.parametrize(
    ("user", "may"),
    [
        (
            "airflow",
            {"create jobs": "yes", "list pods": "yes", "get pods/log": "yes", "delete pods": "no"},
        ),
        (
            "blind",
            {"create jobs": "yes", "list pods": "no", "get pods/log": "no", "delete pods": "no"},
        ),
        (
            "nothing",
            {"create jobs": "no", "list pods": "no", "get pods/log": "no", "delete pods": "no"},
        ),
        (
            "admin",
            {"create jobs": "yes", "list pods": "yes", "get pods/log": "yes", "delete pods": "yes"},
        ),
    ],
)
def test_kubectl_tells_what_a_user_may(
    user: str, may: dict[str, str], command: Callable[..., list[str]]
) -> None:
    asked = {words: command("auth", "can-i", *words.split(), user=user) for words in may}
    answers = {
        words: subprocess.run(ask, capture_output=True, text=True) for words, ask in asked.items()
    }
    assert {words: answer.stdout.strip() for words, answer in answers.items()} == may


def test_kubectl_knows_the_versions_of_both_sides(kubectl: Kubectl) -> None:
    versions = json.loads(kubectl("version", "-o", "json"))
    assert versions["serverVersion"]["gitVersion"].startswith("v1.34.")
    assert versions["clientVersion"]["gitVersion"].startswith("v1.")


def manifest(lane: Lane, name: str, script: str) -> str:
    """A Job of one pod on the lane's node, as JSON."""
    container = {
        "name": "main",
        "image": "registry.example/train:1",
        "command": ["sh", "-c", script],
    }
    template = {
        "restartPolicy": "Never",
        "nodeSelector": lane.node_selector,
        "containers": [container],
    }
    job: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": {"spec": template}},
    }
    return json.dumps(job)
