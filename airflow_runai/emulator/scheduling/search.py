"""
Making room for one job: which jobs to stop, and which of those find another place.

KAI does not look for the fewest victims. It adds one at a time, the most dispensable first, and
after each tries the nodes of the latest: stop those chosen there, then place the waiting job *and*
them again in the usual order. A job that gets its old node back is left alone, one that gets
another is moved, the rest is stopped. The first attempt that works counts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from airflow_runai.emulator.placement import Slot
from airflow_runai.emulator.scheduling.entitlement import may_run
from airflow_runai.emulator.scheduling.jobs import Job
from airflow_runai.emulator.scheduling.order import in_queue_order, in_victim_order
from airflow_runai.emulator.scheduling.state import ClusterState


@dataclass(frozen=True)
class Attempt:
    """
    What would happen if some jobs gave way.

    :param job: the waiting job, or its first pods while more are to come.
    :param state: the cluster afterwards.
    :param stopped: jobs that lose their place.
    :param moved: jobs that get a place elsewhere.
    """

    job: Job
    state: ClusterState
    stopped: Sequence[Job]
    moved: Sequence[Job]


class VictimSearch:
    """
    Looks for room for one job.

    :param state: the cluster now; it is not changed.
    :param candidates: jobs that may have to give way.
    :param valid: whether an attempt may be carried out.
    :param bystanders: jobs that get nothing, but count when the next queue is chosen.
    """

    def __init__(
        self,
        state: ClusterState,
        candidates: Iterable[Job],
        valid: Callable[[Attempt], bool],
        bystanders: Sequence[Job] = (),
    ) -> None:
        self._state = state
        self._candidates = list(candidates)
        self._valid = valid
        self._bystanders = bystanders

    def run(self, job: Job) -> Attempt | None:
        """Find room pod by pod; victims of one pod are victims of the next one, too."""
        attempt: Attempt | None = None
        for count in range(1, len(job.pods) + 1):
            earlier = [*attempt.stopped, *attempt.moved] if attempt else []
            attempt = self._solve(job.first(count), earlier)
            if attempt is None:
                return None
        return attempt

    def _solve(self, job: Job, earlier: Sequence[Job]) -> Attempt | None:
        if earlier:
            # What was freed for the pods before may be enough for this one, too.
            attempt = self._attempt(job, earlier)
            if attempt and self._valid(attempt):
                return attempt
        gone = {one.id for one in earlier}
        chosen: defaultdict[str, list[Job]] = defaultdict(list)
        for latest in in_victim_order(self._candidates, self._state.shares, self._state.used):
            if latest.id in gone:
                continue
            nodes = sorted({slot.node for slot in self._state.held[latest.id]})
            for node in nodes:
                chosen[node].append(latest)
            attempt = self._on_one_of(nodes, job, earlier, chosen)
            if attempt:
                return attempt
        return None

    def _on_one_of(
        self,
        nodes: Sequence[str],
        job: Job,
        earlier: Sequence[Job],
        chosen: Mapping[str, Sequence[Job]],
    ) -> Attempt | None:
        for node in nodes:
            attempt = self._attempt(job, [*earlier, *chosen[node]])
            if attempt:
                # KAI looks at no other node once it has found room that it may not take.
                return attempt if self._valid(attempt) else None
        return None

    def _attempt(self, job: Job, victims: Sequence[Job]) -> Attempt | None:
        """Stop the victims and place all again; None if the waiting job gets no place."""
        # An attempt must leave no trace if it fails.
        state = self._state.copy()
        for victim in victims:
            state.leave(victim)
        stopped = []
        moved = []
        for one in self._in_turn(job, victims, state):
            home = self._state.held.get(one.id, ())
            slots = _place(state, one, home)
            if slots is None and one is job:
                return None
            if slots is None:
                stopped.append(one)
            elif home and not _are_equal(home, slots):
                moved.append(one)
        return Attempt(job, state, stopped, moved)

    def _in_turn(
        self,
        job: Job,
        victims: Sequence[Job],
        state: ClusterState,
    ) -> Iterator[Job]:
        # Bystanders take part in the order, but get nothing.
        members = {one.id: one for one in (job, *victims)}
        queues = {one.project for one in members.values()}
        rivals = [one for one in self._bystanders if one.project in queues]
        for one in in_queue_order([*members.values(), *rivals], state.shares, state.used):
            if members.pop(one.id, None):
                yield one


def _place(state: ClusterState, job: Job, home: Sequence[Slot]) -> tuple[Slot, ...] | None:
    if not may_run(state, job):
        return None
    # To avoid its last nodes would mean to move a job that can stay.
    avoid = frozenset[str]() if home else job.avoid
    slots = state.room.reserve(job.pods, avoid, home)
    if slots is not None:
        state.enter(job, slots)
    return slots


def _are_equal(before: Sequence[Slot], after: Sequence[Slot]) -> bool:
    """Whether no pod has to go: whole devices of a node are alike, shared ones are not."""
    pairs = zip(before, after, strict=True)
    return all(
        old.node == new.node and (old.share == 1 or old.gpus == new.gpus) for old, new in pairs
    )
