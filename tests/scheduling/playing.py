"""
Plays scenarios: the scheduler decides each step of a recording, and equal decisions are counted.

Each step begins with the recorded result of the steps before, so that no difference counts twice.
An evicted job ends at once, waits again and keeps its age, as in the recordings. Elastic jobs count
as gangs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airflow_runai.emulator.placement import Slot
from airflow_runai.emulator.scheduler import Assign, Decision, Evict, Job, Queue, schedule
from tests.scheduling.scenario import PRIORITIES

#: More cycles than any step needs to come to rest.
_MAX_CYCLES = 60


@dataclass(frozen=True)
class Outcome:
    """
    The result of a step.

    :param running: the nodes of each running job's pods.
    :param victims: the evicted jobs, each with the action that evicted it.
    """

    running: Mapping[str, tuple[str, ...]]
    gpus: Mapping[str, float]
    victims: frozenset[tuple[str, str]]


@dataclass
class Score:
    """How many steps came out as in the recording."""

    steps: int = 0
    same_running: int = 0
    same_gpus: int = 0
    evicting_steps: int = 0
    same_victims: int = 0

    def count(self, ours: Outcome, theirs: Sequence[Outcome]) -> None:
        """Compare a step with the outcomes that are right."""
        self.steps += 1
        self.same_running += any(ours.running.keys() == one.running.keys() for one in theirs)
        self.same_gpus += any(ours.gpus == one.gpus for one in theirs)
        if ours.victims or any(one.victims for one in theirs):
            self.evicting_steps += 1
            self.same_victims += any(ours.victims == one.victims for one in theirs)


class Board:
    """A small cluster at one moment of a scenario."""

    def __init__(self, scenario: Mapping[str, Any], flaws: bool) -> None:
        self.flaws = flaws
        self.nodes: dict[str, int] = {node["name"]: node["gpus"] for node in scenario["nodes"]}
        self.queues: dict[str, Queue] = {
            queue["name"]: _queue(queue["name"], queue) for queue in scenario["queues"]
        }
        self.jobs: dict[str, Job] = {}

    def happen(self, step: Mapping[str, Any], at: int) -> None:
        """Carry out the cause of a step."""
        match step["do"]:
            case "submit":
                self.jobs[step["job"]["name"]] = _job(step["job"], at)
            case "finish":
                self.jobs.pop(step["job"], None)
            case "quota":
                self.queues[step["queue"]] = _queue(step["queue"], step)
            case "add_node":
                self.nodes[step["node"]] = step["gpus"]
            case "remove_node":
                self.nodes.pop(step["node"], None)
                for job in list(self.jobs.values()):
                    if any(slot.node == step["node"] for slot in job.placed):
                        self._put(job, ())

    def settle(self) -> Outcome:
        """Let the scheduler decide until it comes to rest."""
        victims: set[tuple[str, str]] = set()
        for _ in range(_MAX_CYCLES):
            decisions = schedule(
                self.nodes, list(self.queues.values()), self.jobs.values(), flaws=self.flaws
            )
            for decision in decisions:
                self._apply(decision)
                if isinstance(decision, Evict):
                    victims.add((decision.job, decision.by))
            if not any(isinstance(decision, Assign | Evict) for decision in decisions):
                break
        running = {
            job.id: tuple(slot.node for slot in job.placed)
            for job in self.jobs.values()
            if job.placed
        }
        return Outcome(running, self._gpus(), frozenset(victims))

    def restore(self, real: Mapping[str, Any]) -> None:
        """Place each job where the real scheduler placed it."""
        free = {node: list(range(gpus)) for node, gpus in self.nodes.items()}
        for job in list(self.jobs.values()):
            nodes = real["running"].get(job.id, ())
            pods = job.pods[: len(nodes)] if nodes else job.pods
            slots = (
                Slot(node, _take(free.get(node, []), int(pod)))
                for node, pod in zip(nodes, pods, strict=True)
            )
            self._put(replace(job, pods=pods, claims=False), tuple(slots) if nodes else ())

    def _apply(self, decision: Decision) -> None:
        if isinstance(decision, Assign):
            self._put(replace(self.jobs[decision.job], claims=False), decision.slots)
            return
        job = replace(self.jobs[decision.job], claims=decision.claims)
        self._put(job, () if isinstance(decision, Evict) else job.placed)

    def _put(self, job: Job, slots: tuple[Slot, ...]) -> None:
        self.jobs[job.id] = replace(job, placed=slots)

    def _gpus(self) -> dict[str, float]:
        used: dict[str, float] = {}
        for job in self.jobs.values():
            if job.placed:
                used[job.project] = used.get(job.project, 0.0) + job.gpus
        return used


def play(scenario: Mapping[str, Any], flaws: bool = True) -> Score:
    """
    Play a scenario that was read and checked.

    :param flaws: decide with KAI's flaws, as KAI's stand-in does, not as the embedded Run:ai does.
    """
    board, score = Board(scenario, flaws), Score()
    for number, step in enumerate(scenario["steps"]):
        board.happen(step, number)
        score.count(
            board.settle(), [_outcome(real) for real in (step["real"], *step.get("unsure", ()))]
        )
        board.restore(step["real"])
    return score


def _outcome(real: Mapping[str, Any]) -> Outcome:
    victims = frozenset((one["job"], one["by"]) for one in real["evicted"] if one["by"] != "node")
    gpus = {queue: gpus for queue, gpus in real["gpus"].items() if gpus}
    return Outcome({job: tuple(nodes) for job, nodes in real["running"].items()}, gpus, victims)


def _queue(name: str, fields: Mapping[str, Any]) -> Queue:
    return Queue(name, fields["deserved"], fields.get("limit"), fields.get("weight", 1))


def _job(fields: Mapping[str, Any], at: int) -> Job:
    priority = PRIORITIES.get(fields["priority"], fields["priority"])
    return Job(
        id=fields["name"],
        project=fields["queue"],
        pods=(float(fields["gpus"]),) * fields["pods"],
        priority=priority,
        preemptible=fields.get("preemptible", priority < 100),
        submitted=float(at),
    )


def _take(free: list[int], count: int) -> tuple[int, ...]:
    taken, free[:count] = tuple(free[:count]), []
    return taken
