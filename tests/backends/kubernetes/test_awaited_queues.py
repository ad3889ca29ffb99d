"""Waits for trainings that Kueue queues, over the model: one list and one watch of its Workloads serve them all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from airflow_runai.backends.kubernetes.watching.awaited_trainings import AwaitedTraining
from airflow_runai.core.decision import WaitPolicy
from airflow_runai.core.kubernetes.queue_facts import JOB_UID
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.workload import Workload
from tests.backends.kubernetes.test_awaited_trainings import TEAM, Triggerer, named, played
from tests.model.clock import timestamp
from tests.model.conftest import job
from tests.model.kubelet import Life
from tests.model.resources import JOBS, WORKLOADS, Object

pytestmark = pytest.mark.slow

QUEUE = "kueue.x-k8s.io/queue-name"


class Kueue:
    """Says by hand what Kueue would: of all Jobs that it queues the same."""

    def __init__(self, triggerer: Triggerer) -> None:
        self.store = triggerer.cluster.store

    def submit(
        self, name: str, *, is_taken_up: bool = True, labels: dict[str, str] | None = None
    ) -> Workload:
        """Make a Job that is created suspended, and its Workload."""
        wanted = named(job(name, TEAM, 0), TEAM, "")
        own = wanted["metadata"]["labels"] if labels is None else labels
        wanted["metadata"]["labels"] = {**own, QUEUE: "train"}
        wanted["spec"]["suspend"] = True
        uid = self.store.create(JOBS, wanted)["metadata"]["uid"]
        if is_taken_up:
            self.take_up(uid)
        moment = self.store.clock.now()
        return Workload(uid, name, "", TEAM, "model", "Training", created_at=moment)

    def admit(self, name: str) -> None:
        found = self.store.get(JOBS, TEAM, name)
        self.store.change(JOBS, found, lambda one: one["spec"].update(suspend=False))

    def take_up(self, uid: str) -> None:
        labels = {JOB_UID: uid}
        metadata = {"name": f"job-{uid}", "namespace": TEAM, "labels": labels}
        self.store.create(WORKLOADS, {"metadata": metadata, "spec": {}, "status": pending("full")})

    def say(self, message: str) -> None:
        self._change(lambda one: one.update(status=pending(message)))

    def hold(self, is_held: bool) -> None:
        """Do what a person does who takes trainings out of the queue, or puts them back."""
        self._change(lambda one: one["spec"].update(active=not is_held))

    def stop(self, name: str) -> None:
        """Do what Kueue does when the queue of a training that runs is stopped."""
        now, words = timestamp(self.store.clock.now()), "The LocalQueue is stopped"
        over = {"type": "Evicted", "status": "True", "reason": "LocalQueueStopped"}
        told = pending("LocalQueue train is inactive")
        told["conditions"].append({**over, "message": words, "lastTransitionTime": now})
        self._change(lambda one: one.update(status=told))
        found = self.store.get(JOBS, TEAM, name)
        self.store.change(JOBS, found, lambda one: one["spec"].update(suspend=True))

    def _change(self, change: Callable[[Object], None]) -> None:
        for one in list(self.store.all(WORKLOADS)):
            self.store.change(WORKLOADS, one, change)


def pending(message: str) -> Object:
    waits = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": message}
    return {"conditions": [waits]}


async def end(*waits: asyncio.Task[Any]) -> None:
    for one in waits:
        one.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


def phases(triggerer: Triggerer) -> list[str]:
    """Return what the waits were told last, each once."""
    told = [one.text.split(": ", 1)[1] for one in triggerer.heard if one.kind == "timeline"]
    return list(dict.fromkeys(told))


def test_fifty_waits_cost_one_list_and_one_watch_of_workloads_and_ask_nothing_more() -> None:
    async def act(triggerer: Triggerer) -> tuple[Counter[str], Counter[str], list[str]]:
        kueue = Kueue(triggerer)
        starts = [kueue.submit(f"train-{number}") for number in range(50)]
        waits = [asyncio.create_task(triggerer.outcome(one)) for one in starts]
        await asyncio.sleep(30.0)
        began = Counter(triggerer.asked)
        triggerer.asked.clear()
        kueue.say("1 more needed")
        kueue.hold(True)
        await asyncio.sleep(30.0)
        spent = Counter(triggerer.asked)
        await end(*waits)
        return began, spent, phases(triggerer)

    began, spent, told = played(act)
    kinds = ("jobs", "pods", "workloads")
    once = {f"{verb} {kind}": 1 for verb in ("list", "watch") for kind in kinds}
    assert began == Counter({**once, "GET ": 1})  # and which version of Kueue is served
    assert told == ["Pending: full", "Stopped: is suspended"]
    assert spent == Counter()


@pytest.mark.parametrize("without", [set(), {("watch", "workloads")}], ids=["watch", "lists"])
def test_a_queued_training_that_a_person_stops_ends_its_wait(without: set[Any]) -> None:
    async def act(triggerer: Triggerer) -> tuple[str, float]:
        kueue = Kueue(triggerer)
        triggerer.cluster.server.forbidden |= without
        waiting = asyncio.create_task(
            triggerer.outcome(kueue.submit("train"), WaitPolicy(15.0, when_suspended="end"))
        )
        await asyncio.sleep(100.0)
        held = triggerer.cluster.clock.now()
        kueue.hold(True)
        outcome = await waiting
        return outcome.status, triggerer.cluster.clock.now() - held

    status, late = played(act)
    assert status == "stopped"
    assert late < (20.0 if without else 0.5)


def test_a_wait_that_may_not_see_workloads_goes_on_by_the_job() -> None:
    async def act(triggerer: Triggerer) -> tuple[Outcome, list[str]]:
        cluster = triggerer.cluster
        cluster.server.forbidden |= {("list", "workloads"), ("watch", "workloads")}
        cluster.life_of = lambda pod: Life(run=30.0)
        kueue = Kueue(triggerer)
        waiting = asyncio.create_task(triggerer.outcome(kueue.submit("train")))
        await asyncio.sleep(120.0)
        kueue.admit("train")
        return await waiting, phases(triggerer)

    outcome, told = played(act)
    assert outcome.status == "succeeded"
    assert "Pending: what Kueue says of it cannot be seen" in told
    assert outcome.ended_at - outcome.timeline[-1].at < 1.1


def test_what_kueue_takes_up_only_later_is_seen() -> None:
    async def act(triggerer: Triggerer) -> list[str]:
        kueue = Kueue(triggerer)
        start = kueue.submit("train", is_taken_up=False)
        waiting = asyncio.create_task(triggerer.outcome(start))
        await asyncio.sleep(100.0)
        kueue.take_up(start.id)
        kueue.hold(True)
        await asyncio.sleep(1.0)
        await end(waiting)
        return phases(triggerer)

    assert played(act) == ["Pending: Kueue has no Workload for it yet", "Stopped: is suspended"]


def test_of_other_peoples_workloads_nothing_is_kept() -> None:
    """One that was passed over is not known when its Job is, until Kueue writes into it again."""

    async def act(triggerer: Triggerer) -> tuple[bool, bool]:
        kueue = Kueue(triggerer)
        mine = kueue.submit("train")
        with AwaitedTraining(mine, triggerer.backend.cluster, 15.0, triggerer.desk) as reader:
            waiting = asyncio.create_task(triggerer.outcome(mine))
            theirs = kueue.submit("theirs", labels={})
            await asyncio.sleep(30.0)
            facts = reader.reflectors.facts
            facts.found("Job", kueue.store.get(JOBS, TEAM, "theirs"), 0.0)
            before = facts.case(theirs.id)
            kueue.say("1 more needed")
            await asyncio.sleep(1.0)
            after = facts.case(theirs.id)
            await end(waiting)
        assert before
        assert after
        return before.queue is None, after.queue is not None

    assert played(act) == (True, True)


def test_a_phase_that_comes_while_the_history_is_written_is_told_after_the_one_before() -> None:
    async def act(triggerer: Triggerer) -> list[str]:
        cluster = triggerer.cluster
        cluster.life_of = lambda pod: Life(run=1e9, on_sigterm=(2.0, 143))
        kueue = Kueue(triggerer)
        waiting = asyncio.create_task(triggerer.outcome(kueue.submit("train")))
        kueue.admit("train")
        await asyncio.sleep(60.0)
        triggerer.delays["PATCH"] = 3.0
        cluster.clock.after(0.0, lambda: kueue.stop("train"))
        await asyncio.sleep(600.0)
        await end(waiting)
        return phases(triggerer)

    *_, leaving, waits = played(act)
    assert leaving == "Terminating: The LocalQueue is stopped"
    assert waits.startswith("Pending: stopped by kueue: The LocalQueue is stopped")
