"""
Making room for one job: whom to stop, and who of those finds another place.

KAI does not look for the fewest victims. It adds one at a time, the most dispensable first, and
after each tries the nodes of the latest: stop those chosen there, then place the waiting job *and*
them anew in the usual order. Who gets the old node back is left alone, who gets another one is
moved, the rest is stopped. The first try that works counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from airflow_runai.emulator.placement import Slot
from airflow_runai.emulator.scheduling.jobs import Job
from airflow_runai.emulator.scheduling.order import QueueShares, by_dispensability, in_turn
from airflow_runai.emulator.scheduling.state import ClusterState


@dataclass(frozen=True)
class Attempt:
    """
    What would be if some jobs gave way.

    :param job: the waiting job, or as many of its pods as are looked at.
    :param state: the picture afterwards.
    :param stopped: jobs that lose their place.
    :param moved: jobs that get a place elsewhere.
    """

    job: Job
    state: ClusterState
    stopped: Sequence[Job]
    moved: Sequence[Job]


class Search:
    """
    Looks for room for one job.

    :param state: the picture now; it is not changed.
    :param candidates: who may have to give way.
    :param allowed: whether quota and limit of its queue let a job have a place.
    :param valid: whether a try may be carried out.
    :param bystanders: jobs that get nothing, but count where it is asked which queue is next.
    """

    def __init__(
        self,
        state: ClusterState,
        shares: QueueShares,
        candidates: Iterable[Job],
        allowed: Callable[[ClusterState, Job], bool],
        valid: Callable[[Attempt], bool],
        bystanders: Iterable[Job] = (),
    ) -> None:
        self._state, self._shares = state, shares
        self._candidates = list(candidates)
        self._allowed, self._valid = allowed, valid
        self._bystanders = list(bystanders)

    def run(self, job: Job) -> Attempt | None:
        """Find room pod by pod; who had to give way for one pod gives way for the next one, too."""
        found: Attempt | None = None
        for count in range(1, len(job.pods) + 1):
            earlier = [*found.stopped, *found.moved] if found else []
            found = self._solve(job.first(count), earlier)
            if found is None:
                return None
        return found

    def _solve(self, job: Job, earlier: Sequence[Job]) -> Attempt | None:
        if earlier:
            found = self._attempt(job, earlier)
            if found and self._valid(found):
                return found
        chosen: list[Job] = []
        for latest in by_dispensability(self._candidates, self._shares, self._state.used):
            if latest not in earlier:
                chosen.append(latest)
                found = self._with_latest(job, earlier, chosen)
                if found:
                    return found
        return None

    def _with_latest(
        self, job: Job, earlier: Sequence[Job], chosen: Sequence[Job]
    ) -> Attempt | None:
        for node in sorted(self._nodes(chosen[-1])):
            found = self._attempt(
                job, [*earlier, *(one for one in chosen if node in self._nodes(one))]
            )
            if found:
                # KAI looks at no other node when room was found that it may not take.
                return found if self._valid(found) else None
        return None

    def _nodes(self, job: Job) -> set[str]:
        return {slot.node for slot in self._state.held[job.id]}

    def _attempt(self, job: Job, victims: Sequence[Job]) -> Attempt | None:
        """Stop the victims and place everybody anew; None if the waiting job gets no place."""
        state = self._state.copy()
        for victim in victims:
            state.leave(victim)
        stopped, moved = [], []
        members = {one.id: one for one in (job, *victims)}
        queues = {one.project for one in members.values()}
        rivals = [one for one in self._bystanders if one.project in queues]
        for one in in_turn([*members.values(), *rivals], self._shares, state.used):
            if not members.pop(one.id, None):
                continue
            home = self._state.held.get(one.id, ())
            slots = self._place(state, one, home)
            if slots is None and one is job:
                return None
            if slots is None:
                stopped.append(one)
            elif home and not _are_the_same(home, slots):
                moved.append(one)
        return Attempt(job, state, stopped, moved)

    def _place(
        self, state: ClusterState, job: Job, home: Sequence[Slot]
    ) -> tuple[Slot, ...] | None:
        if not self._allowed(state, job):
            return None
        # To avoid its last nodes would mean to move a job that can stay.
        slots = state.room.reserve(job.pods, home=home, avoid=frozenset() if home else job.avoid)
        if slots is not None:
            state.enter(job, slots)
        return slots


def _are_the_same(before: Sequence[Slot], after: Sequence[Slot]) -> bool:
    """Whether no pod has to go; whole devices of a node are as good as each other, shared ones are not."""
    pairs = zip(before, after, strict=True)
    return all(
        old.node == new.node and (old.share == 1 or old.gpus == new.gpus) for old, new in pairs
    )
