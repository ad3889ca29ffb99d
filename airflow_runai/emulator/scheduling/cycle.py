"""
One cycle: allocate, consolidate, reclaim, preempt.

What one action decides, the next ones take as given.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice

from airflow_runai.emulator.placement import Room
from airflow_runai.emulator.scheduling.entitlement import (
    exceeds_firm_quota,
    may_hold,
    may_lose,
    may_reclaim,
)
from airflow_runai.emulator.scheduling.fair_share import fair_shares
from airflow_runai.emulator.scheduling.jobs import Action, Assign, Decision, Evict, Job, Queue
from airflow_runai.emulator.scheduling.order import (
    QueueShare,
    QueueShares,
    by_dispensability,
    in_turn,
)
from airflow_runai.emulator.scheduling.reasons import why_stopped, why_waiting
from airflow_runai.emulator.scheduling.search import Attempt, Search
from airflow_runai.emulator.scheduling.skips import Failures
from airflow_runai.emulator.scheduling.state import ClusterState

#: So many jobs may move for one; KAI's setting is 16, of which it allows one more.
_MAX_MOVED = 17


class Cycle:
    """
    The working memory of one cycle.

    :param flaws: as in :func:`airflow_runai.emulator.scheduler.plan`.
    """

    def __init__(
        self, nodes: Mapping[str, int], queues: Sequence[Queue], jobs: Iterable[Job], flaws: bool
    ) -> None:
        self._nodes, self._queues, self._flaws = nodes, queues, flaws
        self._jobs = {job.id: job for job in jobs}
        self._waiting = {
            job.id: job for job in self._jobs.values() if not job.placed and not job.leaving
        }
        self._returning = {job.id: job for job in self._jobs.values() if job.leaving and job.claims}
        self._running = {
            job.id: job for job in self._jobs.values() if job.placed and not job.leaving
        }
        self._state = ClusterState(Room.of(nodes), self._jobs.values())
        self._shares = _shares(sum(nodes.values()), queues, self._jobs.values())
        self._decisions: list[Decision] = []

    def allocate(self) -> None:
        """Give what is free to everybody in turn; who does not fit is passed over."""
        for job in self._in_turn({**self._returning, **self._waiting}):
            if not may_hold(self._shares, self._state, job):
                continue
            slots = None if job.leaving else self._state.room.place(job.pods, job.avoid)
            if slots is not None:
                self._decisions.append(Assign(job.id, slots))
            else:
                slots = self._state.room.reserve(job.pods, job.avoid)
            if slots is not None:
                self._state.enter(job, slots)
                self._waiting.pop(job.id, None)

    def consolidate(self) -> None:
        """Move jobs of any queue, so that a preemptible one fits into what is free in pieces."""
        failures = Failures(everywhere=self._flaws)
        for job in self._in_turn(self._waiting):
            if not job.preemptible or failures.is_hopeless(job):
                continue
            movable = by_dispensability(self._stoppable(), self._shares, self._state.used)
            enough = self._state.room.soon >= job.gpus
            if not (
                enough
                and self._make_room(
                    job, "consolidation", islice(movable, _MAX_MOVED), _stops_nobody
                )
            ):
                failures.add(job)

    def reclaim(self) -> None:
        """Take back from other queues what a queue's fair share gives it."""
        failures = Failures()
        for job in self._in_turn(self._waiting):
            if not may_reclaim(self._shares, self._state, job) or failures.is_hopeless(job):
                continue
            others = [one for one in self._stoppable() if one.project != job.project]
            if not self._make_room(job, "reclaim", others, self._takes_excess):
                failures.add(job)

    def preempt(self) -> None:
        """Stop less important jobs of the same queue."""
        failures = Failures()
        for job in self._in_turn(self._waiting):
            if failures.is_hopeless(job):
                continue
            lesser = [
                one
                for one in self._stoppable()
                if one.project == job.project and one.priority < job.priority
            ]
            if exceeds_firm_quota(self._shares, self._state, job):
                if self._flaws:
                    failures.add(job)
            elif not self._make_room(job, "preempt", lesser, lambda found: True):
                failures.add(job)

    def close(self) -> list[Decision]:
        """Give all that was decided, and to everybody who goes on waiting the reason."""
        started = {one.job for one in self._decisions if isinstance(one, Assign)}
        waiting = (
            job
            for job in self._jobs.values()
            if not job.placed and not job.leaving and job.id not in started
        )
        return [
            *self._decisions,
            *(why_waiting(self._shares, self._state, job, not self._flaws) for job in waiting),
        ]

    def _in_turn(self, jobs: Mapping[str, Job]) -> Iterator[Job]:
        return in_turn(jobs.values(), self._shares, lambda queue: self._state.used(queue))

    def _stoppable(self) -> list[Job]:
        """
        List who may have to give way.

        Who got a place in this cycle may not: it would be for nothing.
        """
        return [job for job in self._running.values() if job.preemptible and job.gpus > 0]

    def _make_room(
        self, job: Job, action: Action, candidates: Iterable[Job], valid: Callable[[Attempt], bool]
    ) -> bool:
        allowed = partial(may_hold, self._shares)
        bystanders = [one for one in self._waiting.values() if self._flaws and one is not job]
        found = Search(self._state, self._shares, candidates, allowed, valid, bystanders).run(job)
        if found is None or (
            action == "consolidation" and not self._flaws and not self._comes_true(found)
        ):
            return False
        self._state = found.state
        del self._waiting[job.id]
        for victim in (*found.stopped, *found.moved):
            del self._running[victim.id]
            moves = action == "consolidation" and not self._flaws
            self._decisions.append(
                Evict(victim.id, why_stopped(victim, job, action), action, job.id, moves)
            )
        return True

    def _comes_true(self, found: Attempt) -> bool:
        """
        Whether the next cycle gives everybody a place, as the try foresees.

        It chooses anew. With shares of GPUs it may choose other nodes, so that one is left over,
        for whom somebody has to go in turn, and so on for ever.
        """
        movers = {job.id for job in (found.job, *found.moved)}
        places = {one.job: one.slots for one in self._decisions if isinstance(one, Assign)}
        places |= {
            job.id: job.placed
            for job in self._jobs.values()
            if job.id in self._running or job.leaving
        }
        jobs = [
            replace(
                job,
                placed=() if job.id in movers else places.get(job.id, ()),
                claims=job.id in movers or (not job.placed and job.id in found.state.held),
            )
            for job in self._jobs.values()
        ]
        following = Cycle(self._nodes, self._queues, jobs, self._flaws)
        following.allocate()
        return movers.isdisjoint(following._waiting)

    def _takes_excess(self, found: Attempt) -> bool:
        return may_lose(self._shares, self._state, found.job, found.stopped)


def _stops_nobody(found: Attempt) -> bool:
    return not found.stopped


def _shares(gpus: float, queues: Sequence[Queue], jobs: Iterable[Job]) -> QueueShares:
    """Compare the queues; one that only a job knows has no quota and is the youngest."""
    asked: defaultdict[str, float] = defaultdict(float)
    for job in jobs:
        asked[job.project] += 0.0 if job.leaving else job.gpus
    known = {queue.name for queue in queues}
    every = [*queues, *(Queue(name, 0.0) for name in asked if name not in known)]
    fair = fair_shares(gpus, every, asked)
    return {
        queue.name: QueueShare(age, queue.deserved, queue.ceiling, fair[queue.name])
        for age, queue in enumerate(every)
    }
