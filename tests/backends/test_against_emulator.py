"""The same flows over a real socket, blocking and awaiting, against the embedded Run:ai."""

from __future__ import annotations

import asyncio
import math
from dataclasses import replace
from typing import Any, TypeVar

import httpx
import pytest

from airflow_runai.backends import clients, control_plane, drivers, organization
from airflow_runai.backends.looks import Looks
from airflow_runai.backends.server_clock import ServerClock
from airflow_runai.backends.settings import Settings
from airflow_runai.backends.submission import create_or_adopt, generations
from airflow_runai.backends.termination import end_and_wait, let_pods_end
from airflow_runai.backends.tokens import Tokens
from airflow_runai.backends.watched import Watched
from airflow_runai.backends.watched_set import WatchedSet
from airflow_runai.backends.watcher import Watcher
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.flow import Flow, Notice, Sleep, now
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.project import Project
from airflow_runai.core.submission import Adopt, Create, Tries, plan_submission
from airflow_runai.core.waiting import wait
from airflow_runai.core.workload import Workload
from airflow_runai.emulator import Emulator, Scenario
from airflow_runai.errors import ForeignWorkload, NotResolved, Refused, Unauthorized
from tests.backends.rest import BACKEND, order
from tests.conftest import Serve, settings_for

pytestmark = pytest.mark.slow

T = TypeVar("T")
DIGEST = "0123456789"
NAME = f"train-{DIGEST}-g1"
POLICY = WaitPolicy(poll_interval=15)
VERSIONS = ["2.18", "2.21", "2.24", "3.0"]


class Blocking:
    """Talks to an emulator with the blocking driver; a sleep moves the emulator's clock."""

    def __init__(self, emulator: Emulator, settings: Settings | None = None) -> None:
        self.emulator = emulator
        self.settings = settings or settings_for(emulator)
        self.tokens = Tokens(self.settings.client_id, self.settings.client_secret)
        self.told: list[Notice] = []
        self.clock = ServerClock()

    def run(self, flow: Flow[T]) -> T:
        with clients.client(self.settings) as client:
            return drivers.run(
                self.tokens.authorized(flow),
                client,
                self.told.append,
                self.emulator.advance,
                self.clock,
            )

    @property
    def project(self) -> Project:
        return self.run(organization.find_project("team-a"))


class Awaiting(Blocking):
    """The same with the awaiting driver."""

    def run(self, flow: Flow[T]) -> T:
        async def tell(news: Notice) -> None:
            self.told.append(news)

        async def sleep(seconds: float) -> None:
            self.emulator.advance(seconds)

        async def main() -> T:
            async with clients.async_client(self.settings) as client:
                return await drivers.arun(
                    self.tokens.authorized(flow), client, tell, sleep, self.clock
                )

        return asyncio.run(main())


@pytest.fixture(params=[Blocking, Awaiting])
def talk(request: pytest.FixtureRequest, emulator: Emulator) -> Blocking:
    talking: Blocking = request.param(emulator)
    return talking


def submit(talk: Blocking, name: str = NAME, **spec: Any) -> Workload:
    return talk.run(submission(talk, name, **spec))


def submission(talk: Blocking, name: str = NAME, **spec: Any) -> Flow[Workload]:
    return create_or_adopt(
        BACKEND, talk.project, order(name, **{"compute": {"gpu_devices": 1}, **spec})
    )


def wait_for(talk: Blocking, workload: Workload) -> Outcome:
    return talk.run(wait(POLICY, BACKEND.reader(workload), workload))


def test_a_training_runs_to_its_end(talk: Blocking) -> None:
    outcome = wait_for(talk, submit(talk))
    assert (outcome.status, outcome.clocks.interruptions) == ("succeeded", 0)
    assert outcome.clocks.running == pytest.approx(100, abs=3)
    assert [m.phase for m in outcome.timeline][-2:] == ["Running", "Completed"]


def test_a_training_is_preempted_and_goes_on(talk: Blocking) -> None:
    workload = submit(talk)
    talk.emulator.advance(30)
    assert talk.emulator.preempt(NAME)
    outcome = wait_for(talk, workload)
    assert (outcome.status, outcome.clocks.interruptions, outcome.clocks.preemptions) == (
        "succeeded",
        1,
        1,
    )
    assert outcome.clocks.interrupted_total > 0


def test_a_training_that_fails_has_failed_with_the_platforms_words(talk: Blocking) -> None:
    talk.emulator.plane.scripted.set("train", Scenario(run_seconds=20, exit_code=3))
    outcome = wait_for(talk, submit(talk, backoff_limit=0))
    assert outcome.status == "failed"
    assert outcome.reason == "failed: Job has reached the specified backoff limit"


def test_a_waiting_training_runs_when_there_is_room(talk: Blocking) -> None:
    submit(talk, "trainer-1-g1", compute={"gpu_devices": 2}, preemptibility="non-preemptible")
    submit(talk, "trainer-2-g1", compute={"gpu_devices": 2})
    late = submit(talk, compute={"gpu_devices": 2})
    outcome = wait_for(talk, late)
    assert outcome.status == "succeeded"
    assert outcome.clocks.queue >= 90


def test_suspended_by_somebody_and_resumed(talk: Blocking) -> None:
    workload = submit(talk)
    talk.emulator.advance(20)
    talk.run(control_plane.suspend(workload))
    talk.emulator.advance(60)
    assert talk.run(control_plane.get(workload.id)).phase == "Stopped"
    talk.run(control_plane.suspend(workload))
    talk.run(control_plane.resume(workload))
    outcome = wait_for(talk, workload)
    assert (outcome.status, outcome.clocks.interruptions) == ("succeeded", 1)


def test_deleted_by_somebody_is_gone_and_finished_before_that_is_finished(talk: Blocking) -> None:
    running, done = submit(talk), submit(talk, "train-1-g1")
    talk.emulator.advance(10)
    talk.run(control_plane.delete(running))
    talk.emulator.advance(200)
    talk.run(control_plane.delete(done))
    talk.emulator.advance(60)
    assert wait_for(talk, running).status == "gone"
    assert wait_for(talk, done).status == "succeeded"


@pytest.mark.slow
@pytest.mark.parametrize("seconds", [0.0, 2.0])
def test_a_lost_reply_is_adopted(talk: Blocking, seconds: float) -> None:
    talk.emulator.faults.add(
        "lose_reply", method="POST", path="/api/v1/workloads/*", seconds=seconds
    )
    patient, first = talk.settings, submission(talk)
    talk.settings = replace(patient, timeout=1.0)
    found = talk.run(first)
    talk.settings = patient
    again = submit(talk)
    assert found.id == again.id
    assert [w.id for w in talk.emulator.workloads_named("train")] == [found.id]


@pytest.mark.parametrize("kind", ["reset", "html", "status"])
def test_a_create_that_never_arrived_is_sent_again(talk: Blocking, kind: str) -> None:
    talk.emulator.faults.add(kind, method="POST", path="/api/v1/workloads/*")
    found = submit(talk)
    assert [w.id for w in talk.emulator.workloads_named("train")] == [found.id]


@pytest.mark.parametrize("status", [400, 409])
def test_a_name_that_is_taken_is_adopted_or_refused(emulate: Serve, status: int) -> None:
    talk = Blocking(emulate(duplicate_name_status=status))
    found = submit(talk)
    assert submit(talk).id == found.id
    with pytest.raises(
        ForeignWorkload, match=r"spec\.compute\.gpuDevicesRequest: running with 1, now 2"
    ):
        submit(talk, compute={"gpu_devices": 2})
    assert len(talk.emulator.workloads_named("train")) == 1


def test_a_lost_reply_is_adopted_from_a_list_that_lags(talk: Blocking) -> None:
    talk.emulator.faults.add("lose_reply", method="POST", path="/api/v1/workloads/*")
    talk.emulator.faults.add("stale_list", path="/api/v1/workloads", seconds=3600, times=2)
    submit(talk)
    assert len(talk.emulator.workloads_named("train")) == 1


TROUBLES: list[dict[str, Any]] = [
    {"kind": "status", "status": 503},
    {"kind": "status", "status": 429, "retry_after": 3},
    {"kind": "status", "status": 401},
    {"kind": "status", "status": 403},
    {"kind": "status", "status": 404},
    {"kind": "html"},
    {"kind": "html", "status": 200},
    {"kind": "html", "status": 404},
    {"kind": "reset"},
    {"kind": "lose_reply"},
]


@pytest.mark.parametrize("trouble", TROUBLES, ids=lambda t: f"{t['kind']}-{t.get('status', '')}")
def test_trouble_on_the_way_changes_nothing(emulator: Emulator, trouble: dict[str, Any]) -> None:
    talk = Awaiting(emulator)
    workload = submit(talk)
    talk.emulator.faults.add(**trouble, path="/api/v1/workloads*", after=2, times=6)
    outcome = wait_for(talk, workload)
    assert outcome.status == "succeeded"
    assert outcome.clocks.running == pytest.approx(100, abs=3)


@pytest.mark.parametrize("shown", [False, True])
def test_a_deletion_is_the_same_end_whether_or_not_the_id_is_still_answered(
    talk: Blocking, shown: bool
) -> None:
    workload = submit(talk)
    talk.emulator.advance(10)
    if shown:
        talk.emulator.faults.add("show_deleted", times=None)
    talk.run(control_plane.delete(workload))
    talk.emulator.advance(5)
    outcome = wait_for(talk, workload)
    assert (outcome.status, outcome.absent) == ("gone", False)
    assert "was deleted by someone else" in outcome.reason


@pytest.mark.parametrize(
    "fault", [{"kind": "future"}, {"kind": "missing_fields"}, {"kind": "hide_new", "seconds": 30}]
)
def test_servers_of_another_age_are_understood(emulator: Emulator, fault: dict[str, Any]) -> None:
    talk = Awaiting(emulator)
    talk.emulator.faults.add(**fault, path="/api/v1/workloads*", times=None)
    workload = submit(talk)
    talk.emulator.advance(5)
    assert wait_for(talk, workload).status == "succeeded"


@pytest.mark.parametrize("version", VERSIONS)
def test_every_version_of_the_control_plane_is_spoken_to(emulate: Serve, version: str) -> None:
    talk = Awaiting(emulate(control_plane_version=version))
    workload = submit(talk)
    assert wait_for(talk, workload).status == "succeeded"
    talk.run(control_plane.suspend(submit(talk, "train-9-g1")))
    talk.run(control_plane.delete(workload))
    talk.run(end_and_wait(BACKEND, workload))
    talk.run(let_pods_end(BACKEND, workload))
    assert [w.deleted for _, w in talk.run(generations(BACKEND, talk.project, DIGEST))] == [True]
    grants = {r.path for r in talk.emulator.requests if "token" in r.path and r.status == 200}
    assert grants == {"/api/v2/token" if version in ("2.24", "3.0") else "/api/v1/token"}


def test_a_distributed_training_is_made_and_removed_through_its_own_calls(talk: Blocking) -> None:
    workload = submit(talk, distributed={"framework": "PyTorch", "workers": 1}, backoff_limit=0)
    assert talk.run(control_plane.get(workload.id)).path == "distributed"
    talk.emulator.advance(5)
    talk.run(end_and_wait(BACKEND, talk.run(control_plane.get(workload.id))))
    changing = [
        r.path for r in talk.emulator.requests if r.method != "GET" and "token" not in r.path
    ]
    assert {path.split("/")[4] for path in changing} == {"distributed"}


def test_a_wrong_secret_is_told_without_it(emulator: Emulator) -> None:
    talk = Blocking(emulator, settings_for(emulator, client_secret="hunter2"))
    with pytest.raises(Unauthorized, match="check the connection") as caught:
        talk.run(organization.list_clusters())
    assert "hunter2" not in str(caught.value)


def test_a_token_that_is_no_longer_accepted_is_renewed(talk: Blocking) -> None:
    talk.emulator.faults.add("status", status=401, path="/api/v1/org-unit*")
    assert talk.project.name == "team-a"
    assert sum("token" in request.path for request in talk.emulator.requests) == 2


def test_projects_are_resolved_or_told_apart(emulate: Serve) -> None:
    talk = Blocking(
        emulate(
            clusters=("east", "west"), projects=("team-a@east:2", "team-a@west:2", "only@west:1")
        )
    )
    with pytest.raises(NotResolved, match="2 projects have this name"):
        talk.run(organization.find_project("team-a"))
    west = talk.run(organization.find_cluster("west"))
    assert talk.run(organization.find_project("team-a", "west")).cluster_id == west
    assert talk.run(organization.find_project("only")).namespace == "runai-only"
    with pytest.raises(NotResolved, match="no such project"):
        talk.run(organization.find_project("nobody"))


def test_a_policy_of_the_platform_is_told(emulate: Serve) -> None:
    talk = Blocking(emulate(policy_max_gpus=1))
    with pytest.raises(Refused, match="gpuDevicesRequest"):
        submit(talk, compute={"gpu_devices": 2})
    assert not talk.emulator.workloads_named("train")


def test_a_clear_replaces_only_after_the_old_one_is_gone(talk: Blocking) -> None:
    talk.emulator.plane.scripted.set("train", Scenario(run_seconds=None, stop_seconds=20))
    submit(talk)
    talk.emulator.advance(10)
    step = plan_submission(
        talk.run(generations(BACKEND, talk.project, DIGEST)), Tries(2, 2), None, "restart"
    )
    assert isinstance(step, Create)
    assert [w.name for w in step.ends] == [NAME]
    talk.run(end_and_wait(BACKEND, step.ends[0]))
    assert not talk.emulator.plane.busy
    found = plan_submission(
        talk.run(generations(BACKEND, talk.project, DIGEST)), Tries(3, 2), None, "restart"
    )
    assert isinstance(found, Create)
    assert (found.generation, found.ends) == (2, ())


def test_a_crash_after_the_create_is_found_by_its_hash_alone(talk: Blocking) -> None:
    made = submit(talk)
    found = talk.run(generations(BACKEND, talk.project, DIGEST))
    step = plan_submission(found, Tries(2), None, "restart")
    assert isinstance(step, Adopt)
    assert (step.workload.id, step.workload.try_number) == (made.id, 1)
    assert step.workload.fingerprint == order(NAME, compute={"gpu_devices": 1}).fingerprint


@pytest.mark.slow
def test_many_waits_share_the_list_over_a_real_socket(emulate: Serve) -> None:
    talk = Blocking(emulate(nodes=10, projects=("team-a:20",)))
    workloads = [submit(talk, f"train-{i}-g1") for i in range(20)]
    talk.emulator.advance(10)
    assert _calls_of_watching(talk, workloads, "Running") == (1, 0)
    talk.emulator.advance(200)
    assert _calls_of_watching(talk, workloads, "Completed") == (1, 20)


def _calls_of_watching(talk: Blocking, workloads: list[Workload], phase: str) -> tuple[int, int]:
    """Let a watcher bring a reading of each workload; return how many lists and single reads that took."""
    watcher, before = Watcher(), len(talk.emulator.requests)
    waits = [Watched(workload, 600.0, watcher) for workload in workloads]

    async def read(wait: Watched, client: httpx.AsyncClient) -> None:
        following = wait.following(wait.start, math.inf, Sleep(0))
        found = await drivers.arun(talk.tokens.authorized(following), client, clock=talk.clock)
        assert (found.id, found.phase) == (wait.id, phase)

    async def main() -> None:
        async with clients.async_client(talk.settings) as client:
            for wait in waits:
                watcher.join(wait)
            looking = talk.tokens.authorized(watcher.run())
            watching = asyncio.create_task(drivers.arun(looking, client, clock=talk.clock))
            await asyncio.gather(*(read(wait, client) for wait in waits))
            watching.cancel()

    asyncio.run(main())
    calls = [request.path for request in talk.emulator.requests[before:]]
    singles = [path for path in calls if path.startswith("/api/v1/workloads/")]
    return calls.count("/api/v1/workloads"), len(singles)


def test_a_delta_shows_what_has_changed_over_a_real_socket(emulate: Serve) -> None:
    talk = Blocking(emulate(nodes=10, projects=("team-a:20",)))
    workloads = [submit(talk, f"train-{i}-g1") for i in range(5)]
    talk.emulator.advance(10)
    waits = WatchedSet()
    looks = Looks(waits)
    for workload in workloads:
        waits.add(Watched(workload, 30.0, Watcher()))
    looks.begin()
    talk.run(looks.full(measure=True))
    assert looks.can_delta
    since = talk.run(now())
    talk.run(control_plane.suspend(workloads[3]))
    talk.emulator.advance(5)
    looks.begin()
    assert talk.run(looks.delta(since))
    seen = [wait.following(wait.start, 0.0, Sleep(0)) for wait in waits]
    phases = [talk.run(reading).phase for reading in seen]
    assert phases[3] in ("Stopping", "Stopped")
    assert phases[:3] == ["Running"] * 3
