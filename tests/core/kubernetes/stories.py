"""Trainings whose life is drawn: stretches that end in some way, then a last one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from hypothesis import strategies as st

from tests.core.kubernetes.gangs import Gang
from tests.core.kubernetes.trainings import Training
from tests.core.kubernetes.world import START, Object, World

CODES = (0, 1, 137, 143)
End = Callable[[Training, Object, int], None]


def _suspend(job: Training, pod: Object, code: int) -> None:
    job.suspend([pod], code)
    job.resume()


def _pause(job: Training, pod: Object, code: int) -> None:
    job.suspend([pod], code, parallelism=True)
    job.resume()


#: Ends after which another pod comes, whatever the exit code; Kueue's need a Workload.
LETS_GO: dict[str, End] = {"suspended": _suspend, "parallelism 0": _pause}
QUEUE: dict[str, End] = {
    "preempted by Kueue": lambda job, pod, code: job.queue_evicts([pod], code),
    "deactivated": lambda job, pod, code: job.queue_evicts([pod], code, "Deactivated"),
}
#: Ends from outside, after which another pod comes unless the exit code is 0.
OUTSIDE: dict[str, End] = {
    "reclaimed": lambda job, pod, code: job.evict(pod, code),
    "preempted with a condition": lambda job, pod, code: job.evict(pod, code, "preempt", "both"),
    "evicted without an event": lambda job, pod, code: job.evict(pod, code, tell="condition"),
    "evicted without a word": lambda job, pod, code: job.evict(pod, code, tell="nothing"),
    "consolidated": lambda job, pod, code: job.evict(pod, code, "consolidation", grace=30),
    "preempted by the kube-scheduler": lambda job, pod, code: job.preempt(pod, code),
    "drained": lambda job, pod, code: job.drain(pod, code),
    "tainted": lambda job, pod, code: job.drain(pod, code, "DeletionByTaintManager"),
    "deleted by a person": lambda job, pod, code: job.take(pod, code),
}
MIDDLE: dict[str, End] = {
    **LETS_GO,
    **QUEUE,
    **OUTSIDE,
    "failed": lambda job, pod, code: job.finish(pod, code),
}


@dataclass(repr=False)
class Story:
    """A training that has been played, and what a client must say of it."""

    world: World
    training: Training | Gang
    final: str
    failures: int

    def __repr__(self) -> str:
        lines = [
            f"{one.at - START:.2f} {one.kind} {one.how} {words(one.object)}"
            for one in self.world.said
        ]
        return "\n".join([*lines, f"{self.world.truth} {self.final!r} {self.failures}"])


def words(found: Object) -> str:
    metadata, status = found.get("metadata", {}), found.get("status", {})
    kept = {
        key: metadata.get(key)
        for key in ("name", "resourceVersion", "deletionTimestamp", "finalizers")
    }
    return f"{kept} {found.get('spec', {}).get('suspend')} {status}"[:400]


@st.composite
def stories(draw: st.DrawFn) -> Story:
    """Draw a Job's life."""
    world = World()
    job = Training(world, kueue=draw(st.booleans()))
    allowed = sorted(MIDDLE if job.kueue else MIDDLE.keys() - QUEUE.keys())
    failed = 0
    for name in draw(st.lists(st.sampled_from(allowed), max_size=4)):
        pod = job.run(wait=draw(st.sampled_from((0.0, 0.5, 3.0))))
        free = name in LETS_GO or name in QUEUE
        code = draw(st.sampled_from(CODES if free else CODES[1:]))
        MIDDLE[name](job, pod, code)
        failed += name == "failed"
        world.wait(draw(st.sampled_from((0.0, 1.0, 10.0))))
    final, more = _last(draw, world, job)
    return Story(world, job, final, failed + more)


def _last(draw: st.DrawFn, world: World, job: Training) -> tuple[str, int]:
    code = draw(st.sampled_from(CODES))
    pod = job.run(wait=draw(st.sampled_from((0.0, 3.0))))
    end = draw(st.sampled_from(("itself", "outside", "deadline", "deleted", "node", "lives")))
    if end == "itself":
        job.finish(pod, code)
        if code:
            job.give_up()
        return ("failed", 1) if code else ("succeeded", 0)
    if end == "outside":
        OUTSIDE[draw(st.sampled_from(sorted(OUTSIDE)))](job, pod, 0)
        return "failed", 0
    if end == "deadline":
        job.exceed_deadline(pod, code)
        return "failed", 0
    if end == "deleted":
        job.delete([pod], code)
        return "deleted", 0
    if end == "node":
        job.lose_node(pod)
    return "", 0


@st.composite
def gang_stories(draw: st.DrawFn) -> Story:
    """Draw a JobSet's life."""
    world = World()
    gang = Gang(world, draw(st.sampled_from((1, 2, 3, 9))))
    everyone = list(range(gang.members))
    failed = 0
    for name in draw(
        st.lists(st.sampled_from(("evicted", "failed", "taken", "suspended")), max_size=3)
    ):
        pods = gang.run()
        if name == "suspended":
            pods = gang.suspend(pods)
            name = "failed"
        if name == "evicted":
            codes = [draw(st.sampled_from(CODES)) for _ in everyone]
            codes[draw(st.sampled_from(everyone))] = 143
            gang.evict(pods, codes, draw(st.sampled_from(("event", "combined", "nothing"))))
        elif name == "failed":
            failing = draw(st.sets(st.sampled_from(everyone), min_size=1))
            gang.fail(pods, failing, draw(st.sampled_from(CODES[1:])))
            failed += 1
        else:
            victim = draw(st.sampled_from(everyone))
            how = draw(
                st.sampled_from(
                    ("deleted by a person", "drained", "preempted by the kube-scheduler")
                )
            )
            OUTSIDE[how](gang.jobs[victim], pods[victim], draw(st.sampled_from(CODES[1:])))
        gang.restart(pods)
    return Story(world, gang, *_last_of_gang(draw, gang, failed))


def _last_of_gang(draw: st.DrawFn, gang: Gang, failed: int) -> tuple[str, int]:
    pods, tell = gang.run(), draw(st.sampled_from(("event", "combined", "nothing")))
    end = draw(st.sampled_from(("itself", "evicted with 0", "failed", "deleted", "lives")))
    if end == "itself":
        gang.finish(pods)
        gang.conclude("Completed")
        return "succeeded", failed
    if end == "evicted with 0":
        gang.evict(pods, [0] * gang.members, tell)
        gang.conclude("Completed")
        return "failed", failed
    if end == "failed":
        gang.fail(pods, {0}, 3)
        gang.conclude("Failed")
        return "failed", failed + 1
    if end == "deleted":
        gang.delete(pods)
        return "deleted", failed
    return "", failed
