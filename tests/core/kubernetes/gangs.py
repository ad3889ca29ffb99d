"""JobSets in the world on paper."""

from __future__ import annotations

from tests.core.kubernetes.trainings import Training
from tests.core.kubernetes.world import Object, Said, World, stamp


class Gang:
    """A JobSet of several members with one pod each, which begins anew as a whole."""

    def __init__(self, world: World, members: int, scheduler: str = "kai-scheduler") -> None:
        self.world, self.members, self.scheduler = world, members, scheduler
        self.set = world.new("gang", {}, None, replicatedJobs=[])
        self.attempt = 0
        self.jobs: list[Training] = []
        self.write("ADDED")

    @property
    def uid(self) -> str:
        return str(self.set["metadata"]["uid"])

    def write(self, how: str = "MODIFIED") -> None:
        self.world.write("JobSet", self.set, how)

    def run(self) -> list[Object]:
        """All members start."""
        self.jobs = [
            Training(self.world, f"gang-{n}", self.set, self.attempt, scheduler=self.scheduler)
            for n in range(self.members)
        ]
        pods = [job.run(wait=0.0) for job in self.jobs]
        self.world.wait(2.0)
        return pods

    def evict(self, pods: list[Object], codes: list[int], tell: str) -> None:
        """KAI takes all members; `combined` events say no action from the third on."""
        named = tell in ("event", "combined")
        for job, pod in zip(self.jobs, pods, strict=True):
            job.delete_pod(pod)
        for place, (job, pod) in enumerate(zip(self.jobs, pods, strict=True)):
            if named:
                late = tell == "combined" and place > 1
                job.evict_event(pod, "reclaim", annotated=not late, combined=late)
        for job, pod, code in zip(self.jobs, pods, codes, strict=True):
            job.end(pod, code)
            job.note(pod, "preempted" if named else "removed", "reclaim" if named else None, code)
            job.count(pod, code == 0)

    def fail(self, pods: list[Object], failing: set[int], code: int) -> None:
        """Some members fail by themselves."""
        for place in sorted(failing):
            self.jobs[place].end(pods[place], code)
            self.jobs[place].note(pods[place], "failed", None, code)
        for place in sorted(failing):
            self.jobs[place].count(pods[place], False)
            self.jobs[place].give_up()

    def restart(self, pods: list[Object]) -> None:
        """The JobSet removes what is left, and begins its next attempt."""
        self.sweep(pods)
        self.attempt += 1
        self.set["status"]["restarts"] = self.attempt
        self.write()

    def sweep(self, pods: list[Object]) -> None:
        left = [
            (job, pod)
            for job, pod in zip(self.jobs, pods, strict=True)
            if pod["metadata"]["uid"] in self.world.store
        ]
        for job in self.jobs:
            job.job["metadata"]["deletionTimestamp"] = stamp(self.world.now)
            job.write()
        for job, pod in left:
            has_ended = pod["status"]["phase"] != "Running"
            if "finalizers" in pod["metadata"]:
                job.let_go(pod)
            job.delete_pod(pod, 0 if has_ended else 5)
            if not has_ended:
                job.end(pod, 143)
                job.note(pod, "removed", None, 143)
            job.vanish(pod)
        for job in self.jobs:
            job.write("DELETED")
        self.world.wait(0.5)

    def suspend(self, pods: list[Object]) -> list[Object]:
        self.set["spec"]["suspend"] = True
        self.write()
        for job, pod in zip(self.jobs, pods, strict=True):
            job.suspend([pod], 143)
        self.set["spec"]["suspend"] = False
        self.write()
        for job in self.jobs:
            job.resume()
        return [job.run(wait=0.0) for job in self.jobs]

    def finish(self, pods: list[Object]) -> None:
        for job, pod in zip(self.jobs, pods, strict=True):
            job.finish(pod, 0)

    def conclude(self, form: str) -> None:
        self.jobs[0].condition(form, "True", form, self.set)
        self.write()

    def delete(self, pods: list[Object]) -> None:
        self.write("DELETED")
        self.sweep(pods)
        self.world.said.append(Said(self.world.now, "JobSet", "MISSING", {"name": "gang"}))
