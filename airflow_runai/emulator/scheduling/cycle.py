"""
One cycle: allocate, consolidate, reclaim, preempt.

Each action takes the decisions of the earlier ones as given.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import islice

from airflow_runai.emulator.placement import Slot
from airflow_runai.emulator.scheduling.census import Census
from airflow_runai.emulator.scheduling.entitlement import (
    is_non_preemptible_over_quota,
    may_lose,
    may_reclaim,
    may_run,
)
from airflow_runai.emulator.scheduling.jobs import (
    Action,
    Assign,
    Decision,
    Evict,
    Job,
    JobKind,
    Queue,
)
from airflow_runai.emulator.scheduling.order import in_queue_order, in_victim_order
from airflow_runai.emulator.scheduling.reasons import why_stopped, why_waiting
from airflow_runai.emulator.scheduling.search import Attempt, VictimSearch
from airflow_runai.emulator.scheduling.shares import queue_shares
from airflow_runai.emulator.scheduling.skips import Failures, OpenKinds
from airflow_runai.emulator.scheduling.state import ClusterState
from airflow_runai.emulator.scheduling.stoppable import StoppableJobs

#: Jobs that may move for one job; KAI's setting is 16, of which it allows one more.
_MAX_MOVED = 17


class Cycle:
    """
    The working memory of one cycle.

    :param flaws: as in :func:`airflow_runai.emulator.scheduler.schedule`.
    """

    def __init__(self, queues: Sequence[Queue], census: Census, flaws: bool) -> None:
        self._queues = queues
        self._census = census
        self._flaws = flaws
        self._waiting = dict(census.waiting)
        self._stoppable = StoppableJobs(census.running.values())
        self._state = ClusterState(
            room=census.room.copy(),
            shares=queue_shares(sum(census.nodes.values()), queues, census.requested),
            held=census.held,
            used=census.used,
            non_preemptible=census.non_preemptible,
        )
        self._decisions: list[Decision] = []

    def allocate(self) -> None:
        """Give the free GPUs to the jobs in turn; a job that does not fit is passed over."""
        returning = [job for job in self._census.leaving.values() if job.claims]
        candidates = [*returning, *self._waiting.values()]
        open_kinds = OpenKinds(candidates)
        for job in self._in_turn(candidates):
            if not open_kinds:
                return
            if open_kinds.has(job):
                placed = may_run(self._state, job) and self._allocate(job)
                open_kinds.count(job, placed)

    def consolidate(self) -> None:
        """Move jobs of any queue, so that a preemptible job fits into scattered free GPUs."""

        def eligible(job: Job) -> bool:
            return job.preemptible and self._state.room.soon >= job.gpus

        failures = Failures(everywhere=self._flaws)
        self._try_each(self._consolidate, eligible, eligible, failures)

    def reclaim(self) -> None:
        """Take back from other queues what a queue's fair share gives it."""

        def eligible(job: Job) -> bool:
            return may_reclaim(self._state, job)

        self._try_each(self._reclaim, eligible, eligible, Failures())

    def preempt(self) -> None:
        """Stop jobs of lower priority in the same queue."""

        def eligible(job: Job) -> bool:
            return self._flaws or not is_non_preemptible_over_quota(self._state, job)

        self._try_each(self._preempt, eligible, self._stoppable_for, Failures())

    def close(self) -> list[Decision]:
        """Return all decisions, and the reason for each job that goes on waiting."""
        started = self._started()
        waiting = [job for job in self._census.waiting.values() if job.id not in started]
        reasons = why_waiting(self._state, waiting, claims=not self._flaws)
        return [*self._decisions, *reasons]

    def _in_turn(self, jobs: Iterable[Job]) -> Iterator[Job]:
        # The state is looked up for each job: an attempt that is carried out replaces it.
        return in_queue_order(jobs, self._state.shares, lambda queue: self._state.used(queue))

    def _allocate(self, job: Job) -> bool:
        room = self._state.room
        slots = None if job.leaving else room.place(job.pods, job.avoid)
        if slots is not None:
            self._decisions.append(Assign(job.id, slots))
        else:  # these GPUs are still being released; a later cycle assigns them
            slots = room.reserve(job.pods, job.avoid)
        if slots is None:
            return False
        self._state.enter(job, slots)
        self._waiting.pop(job.id, None)
        return True

    def _try_each(
        self,
        action: Callable[[Job], bool],
        eligible: Callable[[Job], bool],
        promising: Callable[[Job], bool],
        failures: Failures,
    ) -> None:
        """
        Try an action for the waiting jobs in turn.

        :param eligible: whether to try it for a job; a failure counts for all jobs like it.
        :param promising: what is certainly needed for success, the same for all jobs of a kind but
            for their priority.
        """

        def is_open(job: Job) -> bool:
            return promising(job) and not failures.is_hopeless(job)

        leaders = self._leaders()
        if not any(map(is_open, leaders)):
            return
        for job in self._in_turn(self._waiting.values()):
            if not eligible(job) or failures.is_hopeless(job):
                continue
            if action(job):
                leaders = self._leaders()
            else:
                failures.add(job)
            if not any(map(is_open, leaders)):
                return

    def _leaders(self) -> Iterable[Job]:
        """Find the most important waiting job of each kind."""
        leaders: dict[JobKind, Job] = {}
        for job in self._waiting.values():
            leader = leaders.setdefault(job.kind, job)
            if job.priority > leader.priority:
                leaders[job.kind] = job
        return leaders.values()

    def _consolidate(self, job: Job) -> bool:
        stoppable = in_victim_order(self._stoppable.all, self._state.shares, self._state.used)
        return self._make_room(job, "consolidation", islice(stoppable, _MAX_MOVED), _stops_none)

    def _reclaim(self, job: Job) -> bool:
        others = self._stoppable.of_other_queues(job)
        return self._make_room(job, "reclaim", others, self._may_lose)

    def _preempt(self, job: Job) -> bool:
        if not self._stoppable_for(job):
            return False
        lesser = self._stoppable.lesser(job)
        return self._make_room(job, "preempt", lesser, lambda attempt: True)

    def _stoppable_for(self, job: Job) -> bool:
        """Whether the job may preempt, and there is anything to preempt."""
        over_quota = is_non_preemptible_over_quota(self._state, job)
        return not over_quota and self._stoppable.has_lesser(job)

    def _make_room(
        self, job: Job, action: Action, candidates: Iterable[Job], valid: Callable[[Attempt], bool]
    ) -> bool:
        search = VictimSearch(self._state, candidates, valid, self._bystanders(job))
        attempt = search.run(job)
        if attempt is None:
            return False
        moves = action == "consolidation" and not self._flaws
        if moves and not self._comes_true(attempt):
            return False
        self._carry_out(attempt, job, action, moves)
        return True

    def _bystanders(self, job: Job) -> list[Job]:
        """List the other waiting jobs, if KAI's flaw is wanted that they count."""
        if not self._flaws:
            return []
        return [one for one in self._waiting.values() if one is not job]

    def _carry_out(self, attempt: Attempt, job: Job, action: Action, moves: bool) -> None:
        self._state = attempt.state
        # Room is made for it, so no other action may look for it again.
        del self._waiting[job.id]
        victims = [*attempt.stopped, *attempt.moved]
        # Nobody is stopped twice in one cycle.
        self._stoppable = self._stoppable.without(victims)
        message = why_stopped(job, action)
        for victim in victims:
            self._decisions.append(Evict(victim.id, message, action, job.id, moves))

    def _comes_true(self, attempt: Attempt) -> bool:
        """
        Whether the next cycle places all jobs as the attempt foresees.

        It chooses again. With shares of GPUs it may choose other nodes, so that one job is left
        over, for which another has to go in turn, and so on for ever.
        """
        # Played with the scheduler's own rules, not with a copy of them.
        movers = {job.id for job in (attempt.job, *attempt.moved)}
        jobs = self._jobs_after(attempt, movers)
        census = Census(self._census.nodes, jobs)
        following = Cycle(self._queues, census, self._flaws)
        following.allocate()
        return movers.isdisjoint(following._waiting)

    def _jobs_after(self, attempt: Attempt, movers: set[str]) -> Iterator[Job]:
        started = self._started()
        evicted = {one.job for one in self._decisions if isinstance(one, Evict)}
        for job in self._census.jobs.values():
            stays = job.placed and job.id not in evicted
            placed = job.placed if stays else started.get(job.id, ())
            if job.id in movers:
                yield replace(
                    job,
                    placed=(),
                    claims=True,
                )
            else:
                claims = not job.placed and job.id in attempt.state.held
                yield replace(
                    job,
                    placed=placed,
                    claims=claims,
                )

    def _started(self) -> dict[str, tuple[Slot, ...]]:
        return {one.job: one.slots for one in self._decisions if isinstance(one, Assign)}

    def _may_lose(self, attempt: Attempt) -> bool:
        return may_lose(self._state, attempt.job, attempt.stopped)


def _stops_none(attempt: Attempt) -> bool:
    return not attempt.stopped
