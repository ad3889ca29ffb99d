"""Jobs in the world on paper: how their pods run, and all the ways in which they end."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from airflow_runai.core.kubernetes.objects import TRACKING
from tests.core.kubernetes.world import NAMESPACE, Object, Said, Truth, World, stamp


class Training:
    """A Job in the world, alone or in a set."""

    def __init__(
        self,
        world: World,
        name: str = "train",
        owner: Object | None = None,
        attempt: int = -1,
        pods: int = 1,
        kueue: bool = False,
        scheduler: str = "kai-scheduler",
        **spec: Any,
    ) -> None:
        self.world, self.scheduler, self.attempt = world, scheduler, attempt
        self.labels = {} if attempt < 0 else {"jobset.sigs.k8s.io/restart-attempt": str(attempt)}
        if owner:
            self.labels["jobset.sigs.k8s.io/jobset-uid"] = owner["metadata"]["uid"]
        spec = {"parallelism": pods, "completions": pods, "suspend": kueue, **spec}
        self.job = world.new(name, self.labels, owner, **spec)
        self.set = owner
        self.kueue = kueue
        self.workload: Object | None = None
        self.write("ADDED")
        self.job["status"]["startTime"] = stamp(world.now)
        if kueue:
            self.condition("Suspended", "True", "JobSuspended")
        self.write()
        if kueue:
            self._queue()

    @property
    def name(self) -> str:
        return str(self.job["metadata"]["name"])

    @property
    def uid(self) -> str:
        return str(self.job["metadata"]["uid"])

    def write(self, how: str = "MODIFIED") -> None:
        self.world.write("Job", self.job, how)

    def condition(self, form: str, status: str, reason: str, found: Object | None = None) -> None:
        found = found or self.job
        listed = found["status"].setdefault("conditions", [])
        listed[:] = [one for one in listed if one["type"] != form]
        when = stamp(self.world.now)
        listed.append(
            {
                "type": form,
                "status": status,
                "reason": reason,
                "message": f"{reason}!",
                "lastTransitionTime": when,
            }
        )

    # -- pods

    def run(self, index: int = 0, wait: float = 3.0) -> Object:
        """A pod is made, bound and runs for some seconds."""
        world = self.world
        pod = world.new(f"{self.name}-{index}-{world.version:05d}", self.labels, self.job)
        pod["metadata"]["finalizers"] = [TRACKING]
        if self.scheduler == "kai-scheduler":
            pod["metadata"]["annotations"] = {"pod-group-name": self.group(pod)}
        pod["spec"] = {
            "schedulerName": self.scheduler,
            "containers": [{"name": "main"}],
            "restartPolicy": "Never",
        }
        pod["status"] = {"phase": "Pending"}
        world.write("Pod", pod, "ADDED")
        pod["spec"]["nodeName"] = "node-0"
        world.write("Pod", pod)
        pod["status"]["phase"] = "Running"
        self.container(pod, {"running": {"startedAt": stamp(world.now)}})
        world.write("Pod", pod)
        self.job["status"]["active"] = 1
        self.write()
        world.wait(wait)
        return pod

    def group(self, pod: Object) -> str:
        if self.set:
            return f"pg-{self.set['metadata']['name']}-{self.set['metadata']['uid']}"
        return f"pg-{pod['metadata']['name']}-{self.uid}"

    def container(self, pod: Object, state: Object) -> None:
        pod["status"]["containerStatuses"] = [{"name": "main", "state": state}]

    def end(self, pod: Object, code: int | None, reason: str = "") -> None:
        """The container ends, then the pod."""
        if code is None:
            return
        reason = reason or ("Completed" if code == 0 else "Error")
        ended = {"exitCode": code, "reason": reason, "finishedAt": stamp(self.world.now)}
        self.container(pod, {"terminated": ended})
        pod["status"]["phase"] = "Succeeded" if code == 0 else "Failed"
        self.world.write("Pod", pod)

    def delete_pod(self, pod: Object, grace: int = 5) -> None:
        pod["metadata"]["deletionTimestamp"] = stamp(self.world.now + grace)
        pod["metadata"]["deletionGracePeriodSeconds"] = grace
        self.world.write("Pod", pod)

    def let_go(self, pod: Object) -> None:
        pod["metadata"].pop("finalizers")
        self.world.write("Pod", pod)

    def vanish(self, pod: Object) -> None:
        """The node confirms the end: the deletion moves back, and the object goes."""
        if pod["status"]["phase"] in ("Succeeded", "Failed"):
            pod["metadata"]["deletionTimestamp"] = stamp(self.world.now)
            pod["metadata"]["deletionGracePeriodSeconds"] = 0
            self.world.write("Pod", pod)
        self.world.write("Pod", pod, "DELETED")

    def note(self, pod: Object, ended: str, by: str | None, code: int | None) -> None:
        self.world.truth[pod["metadata"]["uid"]] = Truth(ended, by, code)

    def count(self, pod: Object, success: bool) -> None:
        """The Job controller counts a pod that ended while it still tracked it."""
        word, status = ("succeeded" if success else "failed"), self.job["status"]
        self.world.wait(1.0)
        status["uncountedTerminatedPods"] = {word: [pod["metadata"]["uid"]]}
        status.pop("active", None)
        done = success and status.get("succeeded", 0) + 1 >= self.job["spec"]["completions"]
        if done:
            self.condition("SuccessCriteriaMet", "True", "CompletionsReached")
        self.write()
        if "deletionTimestamp" in pod["metadata"]:
            self.vanish(pod)
        else:
            self.let_go(pod)
        status["uncountedTerminatedPods"] = {}
        status[word] = status.get(word, 0) + 1
        if done:
            self.condition("Complete", "True", "CompletionsReached")
        self.write()

    # -- ends

    def finish(self, pod: Object, code: int) -> None:
        """It ends by itself."""
        self.end(pod, code)
        self.note(pod, "succeeded" if code == 0 else "failed", None, code)
        self.count(pod, code == 0)

    def evict(
        self, pod: Object, code: int, by: str = "reclaim", tell: str = "event", grace: int = 5
    ) -> None:
        """KAI takes it; `tell` is what the scheduler leaves behind: event, condition, both or nothing."""
        if tell in ("condition", "both"):
            self.disrupt(pod, "PreemptionByScheduler", f"Pod {self.key(pod)} was preempted")
        self.delete_pod(pod, grace)
        if tell in ("event", "both"):
            self.evict_event(pod, by)
        self.end(pod, code)
        named = {
            "event": ("preempted", by),
            "both": ("preempted", by),
            "condition": ("preempted", None),
        }
        self.note(pod, *named.get(tell, ("removed", None)), code)
        self.count(pod, code == 0)

    def preempt(self, pod: Object, code: int, grace: int = 5) -> None:
        """The kube-scheduler takes it."""
        self.disrupt(
            pod,
            "PreemptionByScheduler",
            "default-scheduler: preempting to accommodate a higher priority pod",
        )
        self.delete_pod(pod, grace)
        self.end(pod, code)
        self.note(pod, "preempted", "kube-scheduler", code)
        self.count(pod, code == 0)

    def drain(
        self, pod: Object, code: int, reason: str = "EvictionByEvictionAPI", grace: int = 5
    ) -> None:
        self.disrupt(pod, reason, "Eviction API: evicting")
        self.delete_pod(pod, grace)
        self.end(pod, code)
        self.note(pod, "infrastructure", reason, code)
        self.count(pod, code == 0)

    def lose_node(self, pod: Object) -> None:
        pod["status"]["phase"] = "Failed"
        self.disrupt(pod, "DeletionByPodGC", "PodGC: node no longer exists")
        self.delete_pod(pod, 0)
        self.note(pod, "infrastructure", "DeletionByPodGC", None)
        self.count(pod, False)

    def take(self, pod: Object, code: int, grace: int = 5) -> None:
        """A person deletes the pod."""
        self.delete_pod(pod, grace)
        self.end(pod, code)
        self.note(pod, "removed", None, code)
        self.count(pod, code == 0)

    def suspend(
        self,
        pods: list[Object],
        code: int,
        grace: int = 5,
        ended: tuple[str, str | None] = ("suspended", None),
        parallelism: bool = False,
    ) -> None:
        """Somebody suspends the Job, or sets its parallelism to 0."""
        if parallelism:
            self.job["spec"]["parallelism"] = 0
        else:
            self.job["spec"]["suspend"] = True
        self.write()
        for pod in pods:
            self.let_go(pod)
            self.delete_pod(pod, grace)
        if not parallelism:
            self.condition("Suspended", "True", "JobSuspended")
        self.job["status"].pop("active", None)
        self.write()
        for pod in pods:
            self.end(pod, code)
            self.vanish(pod)
            self.note(pod, *ended, code)
        self.world.wait(1.0)

    def resume(self) -> None:
        self.world.wait(2.0)
        self.job["spec"] |= {"suspend": False, "parallelism": self.job["spec"]["completions"]}
        self.write()
        if any(one["type"] == "Suspended" for one in self.job["status"].get("conditions", ())):
            self.condition("Suspended", "False", "JobResumed")
            self.write()

    def exceed_deadline(self, pod: Object, code: int) -> None:
        world = self.world
        started = datetime.fromisoformat(self.job["status"]["startTime"].replace("Z", "+00:00"))
        self.job["spec"]["activeDeadlineSeconds"] = int(world.now - started.timestamp())
        if "deletionTimestamp" not in pod["metadata"]:
            self.delete_pod(pod)
        self.condition("FailureTarget", "True", "DeadlineExceeded")
        self.job["status"]["uncountedTerminatedPods"] = {"failed": [pod["metadata"]["uid"]]}
        self.write()
        self.let_go(pod)
        self.end(pod, code)
        self.vanish(pod)
        self.note(pod, "deadline", None, code)
        self.condition("Failed", "True", "DeadlineExceeded")
        self.write()

    def delete(self, pods: list[Object], code: int) -> None:
        """Somebody deletes the Job in the background."""
        self.world.write("Job", self.job, "DELETED")
        for pod in pods:
            self.let_go(pod)
            self.delete_pod(pod)
        for pod in pods:
            self.end(pod, code)
            self.vanish(pod)
            self.note(pod, "removed", None, code)
        self.world.wait(0.5)
        self.world.said.append(Said(self.world.now, "Job", "MISSING", {"name": self.name}))

    def give_up(self) -> None:
        """The Job controller ends the Job, because its limit is reached."""
        self.condition("FailureTarget", "True", "BackoffLimitExceeded")
        self.write()
        self.condition("Failed", "True", "BackoffLimitExceeded")
        self.write()

    # -- words

    def key(self, pod: Object) -> str:
        return f"{NAMESPACE}/{pod['metadata']['name']}"

    def disrupt(self, pod: Object, reason: str, message: str) -> None:
        when = stamp(self.world.now)
        condition = {
            "type": "DisruptionTarget",
            "status": "True",
            "reason": reason,
            "message": message,
            "lastTransitionTime": when,
        }
        pod["status"].setdefault("conditions", []).append(condition)
        self.world.write("Pod", pod)

    def evict_event(
        self, pod: Object, by: str, annotated: bool = True, combined: bool = False
    ) -> None:
        about = {"kind": "PodGroup", "namespace": NAMESPACE, "name": self.group(pod)}
        prefix = "(combined from similar events): " if combined else ""
        event: Object = {
            "metadata": {"name": f"evict.{self.world.version}", "uid": self.world.uid()},
            "involvedObject": about,
            "reason": "Evict",
            "message": f"{prefix}Pod {self.key(pod)} was preempted by workload team-b/pg-rival-{self.world.uid()}.\nmore",
            "firstTimestamp": stamp(self.world.now),
        }
        if annotated:
            event["metadata"]["annotations"] = {"evictor-action-type": by}
        self.world.write("Event", event, "ADDED")

    def _queue(self) -> None:
        workload = self.world.new(
            f"job-{self.name}", {"kueue.x-k8s.io/job-uid": self.uid}, None, active=True
        )
        self.world.write("Workload", workload, "ADDED")
        self.workload = workload
        self._admit()

    def _admit(self) -> None:
        assert self.workload
        for one in self.workload["status"].get("conditions", ()):
            if one["type"] in ("Evicted", "Preempted"):
                one |= {
                    "status": "False",
                    "message": f"Previously: {one['message']}",
                    "lastTransitionTime": stamp(self.world.now),
                }
        self.condition("Admitted", "True", "Admitted", self.workload)
        self.world.write("Workload", self.workload)
        self.resume()

    def queue_evicts(self, pods: list[Object], code: int, reason: str = "Preempted") -> None:
        """Kueue evicts the training, and admits it again later."""
        assert self.workload
        self.condition("Evicted", "True", reason, self.workload)
        counted = self.workload["status"].setdefault("schedulingStats", {"evictions": []})
        counted["evictions"].append({"reason": reason, "count": 1})
        self.world.write("Workload", self.workload)
        how = {"Preempted": ("preempted", "kueue"), "Deactivated": ("suspended", None)}[reason]
        self.suspend(pods, code, ended=how)
        self.world.wait(2.0)
        self._admit()
