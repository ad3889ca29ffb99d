"""
The parts of the kubelet's stand-in that need no cluster: text, logs, phases, and processes on disk.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.rig.api import Object
from tests.rig.kubelet.containers import Container, Containers
from tests.rig.kubelet.environment import CannotStart, expanded, variables
from tests.rig.kubelet.logs import Query, read
from tests.rig.kubelet.statuses import Ended, Report, Running, State, Waiting, phase_of
from tests.rig.kubelet.volumes import folder_of, localized

ENVIRONMENT = {"PATH": os.environ["PATH"]}
OK, BAD = Ended("c://1", 0, "Completed", 2.0, 1.0), Ended("c://2", 1, "Error", 2.0, 1.0)
RUNS, NEW = Running("c://3", 1.0), Waiting()


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("$(A)-$(B)", "1-$(B)"),
        ("$$(A) costs $$5 of $A", "$(A) costs $5 of $A"),
        ("open $(A", "open $(A"),
    ],
)
def test_references_are_expanded_as_kubernetes_does(text: str, result: str) -> None:
    assert expanded(text, {"A": "1"}) == result


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("cat /data/a > /data", "cat /srv/d/a > /srv/d"),
        ("/database /my/data ./data /data.old", "/database /my/data ./data /data.old"),
        ("--root=/data,/data/deep/x", "--root=/srv/d,/srv/e/x"),
    ],
)
def test_only_whole_mount_paths_are_replaced_in_text(text: str, result: str) -> None:
    assert localized(text, {"/data/deep": Path("/srv/e"), "/data": Path("/srv/d")}) == result


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({"secretKeyRef": {"name": "s", "key": "k"}}, 'secret "s" not found'),
        (
            {"configMapKeyRef": {"name": "there", "key": "k"}},
            "couldn't find key k in ConfigMap team-a/there",
        ),
        (
            {"fieldRef": {"fieldPath": "status.colour"}},
            "the stand-in does not know fieldPath status.colour",
        ),
        (
            {"resourceFieldRef": {"resource": "cpu"}},
            r"the stand-in does not know valueFrom \['resourceFieldRef'\]",
        ),
    ],
)
def test_a_value_that_cannot_be_had_is_named(source: Object, words: str) -> None:
    container = {"env": [{"name": "X", "valueFrom": source}]}
    with pytest.raises(CannotStart, match=words) as error:
        variables(container, {"metadata": {"namespace": "team-a"}}, {}, _only_there)
    assert error.value.reason == "CreateContainerConfigError"


def test_a_volume_of_an_unknown_kind_is_refused_and_not_empty(tmp_path: Path) -> None:
    with pytest.raises(CannotStart) as error:
        folder_of({"name": "v", "nfs": {"server": "x"}}, tmp_path / "v", _only_there)
    assert (
        error.value.words
        == "MountVolume.SetUp failed for volume \"v\" : the stand-in does not know ['nfs']"
    )


@pytest.mark.parametrize(
    ("policy", "first", "main", "phase"),
    [
        ("Never", [], [NEW], "Pending"),
        ("Never", [], [RUNS, NEW], "Pending"),
        ("Never", [], [RUNS, BAD], "Running"),
        ("Never", [], [OK, BAD], "Failed"),
        ("Never", [], [OK, OK], "Succeeded"),
        ("Never", [RUNS], [NEW], "Pending"),
        ("Never", [BAD], [NEW], "Failed"),
        ("Never", [OK], [RUNS], "Running"),
        ("OnFailure", [], [BAD], "Running"),
        ("OnFailure", [], [OK], "Succeeded"),
        ("OnFailure", [BAD], [NEW], "Pending"),
        ("Always", [], [OK], "Running"),
    ],
)
def test_the_phase_of_a_pod_follows_from_its_containers(
    policy: str, first: list[State], main: list[State], phase: str
) -> None:
    assert phase_of(policy, _reports(first), _reports(main)) == phase


def test_a_container_ends_with_its_code_its_output_and_its_times(tmp_path: Path) -> None:
    container = _started(tmp_path, "echo out; echo err >&2; printf tail; exit 3")
    container.wait()
    state = container.state()
    assert isinstance(state, Ended)
    assert (state.code, state.reason) == (3, "Error")
    assert state.started is not None
    assert state.started <= state.finished
    assert _text(container) == ["out", "err", "tail"]


@pytest.mark.parametrize(
    ("number", "code", "reason"),
    [(signal.SIGTERM, 143, "Error"), (signal.SIGKILL, 137, "Error"), (None, 137, "OOMKilled")],
)
def test_a_signal_ends_it_with_128_and_its_number(
    tmp_path: Path, number: int | None, code: int, reason: str
) -> None:
    container = _started(tmp_path, "sleep 60")
    if number is None:
        container.kill_for_memory()
    else:
        container.signal(number)
    container.wait()
    state = container.state()
    assert isinstance(state, Ended)
    assert (state.code, state.reason) == (code, reason)


def test_who_did_not_start_a_container_can_adopt_it_and_learn_its_end(tmp_path: Path) -> None:
    started = _started(tmp_path, "trap 'exit 9' TERM; echo ready; sleep 60 & wait $!")
    adopted = Containers(tmp_path).running()[0]
    assert adopted.state() == started.state()
    _await_line(adopted)
    adopted.signal(signal.SIGTERM)
    adopted.wait()
    state = adopted.state()
    assert isinstance(state, Ended)
    assert state.code == 9
    assert Containers(tmp_path).running() == []
    started.wait()


def test_an_attempt_that_never_started_is_made_again_in_its_place(tmp_path: Path) -> None:
    folder = tmp_path / "containers" / "main" / "0"
    folder.mkdir(parents=True)
    containers = Containers(tmp_path)
    assert containers.next("main").folder == folder
    containers.next("main").start(["true"], ENVIRONMENT, tmp_path)
    assert containers.next("main").folder == folder.with_name("1")
    containers.kill()


def test_a_log_is_read_in_parts(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text(
        "".join(f"2016-11-26T13:24:0{n}.500000000Z line {n}\n" for n in range(4))
        + "2016-11-26T13:24:09.5"
    )

    def asked(**query: str) -> str:
        return b"".join(read(log, Query.of(query), lambda: False)).decode()

    assert asked(tailLines="1", timestamps="true") == "2016-11-26T13:24:03.500000000Z line 3\n"
    assert asked(sinceTime="2016-11-26T13:24:02Z") == "line 2\nline 3\n"
    assert asked(sinceTime="2016-11-26T14:24:03+01:00", follow="true") == "line 3\n"
    assert asked(limitBytes="10") == "line 0\nlin"
    assert asked(sinceSeconds="60") == ""


def test_a_follower_reads_what_came_between_its_last_look_and_the_end(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("t first\n")

    def ends() -> bool:
        with log.open("a") as file:
            file.write("t last\n")
        return False

    assert list(read(log, Query(follow=True), ends)) == [b"first\n", b"last\n"]


@pytest.mark.parametrize(
    "query", [{"tailLines": "x"}, {"sinceTime": "yesterday"}, {"limitBytes": "1e3"}]
)
def test_a_query_that_is_none_is_refused(query: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"x|yesterday|1e3"):
        Query.of(query)


def _only_there(plural: str, name: str) -> Object | None:
    return {"data": {}} if name == "there" else None


def _reports(states: list[State]) -> list[Report]:
    return [Report(f"c{number}", "image", state) for number, state in enumerate(states)]


def _started(folder: Path, script: str) -> Container:
    container = Containers(folder).next("main")
    container.start(["sh", "-c", script], ENVIRONMENT, folder)
    return container


def _text(container: Container) -> list[str]:
    return [line.partition(" ")[2] for line in container.log.read_text().splitlines()]


def _await_line(container: Container) -> None:
    for line in read(
        container.log, Query(follow=True), lambda: isinstance(container.state(), Running)
    ):
        assert line
        return
