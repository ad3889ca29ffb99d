"""
Where a scene is played: the client of a recording, today's cluster, and everybody else.

What somebody does follows from what the client sees, not from the clock: a scene waits until it is
seen, then counts.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any

from tests.recording_checks import Sighting, sightings
from tests.recording_forms import Recording
from tests.referee.listening import Client
from tests.referee.script import commands, listings, recast
from tests.rig.api import Object
from tests.rig.cluster import Cluster
from tests.support.patience import Patience

#: Seconds that the client stays when all is done; what is told late has been told by then.
LINGER = 3
#: Seconds of patience; the slowest, a lost node, takes 70.
ENOUGH = 200
SECONDS_PER_LOOK = 0.02

_GROUPS = {
    "jobs": "/apis/batch/v1",
    "jobsets": "/apis/jobset.x-k8s.io/v1alpha2",
    "workloads": "/apis/kueue.x-k8s.io/v1beta2",
    "localqueues": "/apis/kueue.x-k8s.io/v1beta2",
}


class Stuck(Exception):
    """What a scene waits for did not come."""


class Stage:
    """
    One scene.

    :param recording: whose causes are played.
    """

    def __init__(self, cluster: Cluster, recording: Recording) -> None:
        self.cluster, self.recording = cluster, recording
        #: What must be undone after the scene.
        self.afterwards = ExitStack()
        tokens = {name: cluster.user(name).token for name in ("airflow", "blind")}
        strangers = {"<unknown token>": "unknown", "<none>": None}
        self.client = Client(
            cluster.site.server, cluster.site.authority, tokens | strangers, recording.header.user
        )
        self._commands = deque(commands(recording))
        self._newest: dict[str, Sighting] = {}
        self._read = 0

    # -- the client
    # ---------------------------------------------------------------------------------------

    async def watch(self) -> None:
        """Let the client list and watch as it did, or go on after a pause."""
        await self.client.mirror(listings(self.recording))

    async def say(self, count: int = 1, orders: Mapping[str, str] | None = None) -> None:
        """
        Say the next commands of the recording.

        :param orders: annotations for the pods of the Job that is made: what the stand-in for the
            kubelet shall do.
        """
        for _ in range(count):
            command = recast(self._commands.popleft(), self.recording, self.client.entries)
            if "follow=true" in command.path:
                self.client.follow(command.path)
                continue
            if orders:
                command.body["spec"]["template"]["metadata"]["annotations"] = dict(orders)
            form = command.content_type
            await self.client.ask(
                command.method,
                command.path,
                user=command.user,
                content_type=form,
                body=command.body,
            )

    async def say_all_but(self, count: int) -> None:
        """Say the next commands, but leave some."""
        await self.say(len(self._commands) - count)

    async def finish(self) -> None:
        """Wait until all trainings have ended, then leave."""
        for label in self.recording.labels:
            await self.until_ended(label.name)
        await self.leave()

    async def leave(self) -> None:
        """Say what is left of the recording, stay a little, and go."""
        await self.say_all_but(0)
        await asyncio.sleep(LINGER)
        await self.client.leave()

    # -- what the client sees
    # -----------------------------------------------------------------------------

    def seen(self, kind: str) -> list[Sighting]:
        """Return the newest sighting of each object of a kind, in order of appearance."""
        new, self._read = self.client.entries[self._read :], len(self.client.entries)
        for one in sightings(new):
            if one.uid not in self._newest or _version(one) >= _version(self._newest[one.uid]):
                self._newest[one.uid] = one
        return [one for one in self._newest.values() if one.kind == kind]

    def shown(self, words: str) -> bool:
        """Tell whether anything that was seen has these words, by its newest state."""
        return any(
            words in str(one.object)
            for kind in ("Pod", "PodGroup", "Workload")
            for one in self.seen(kind)
        )

    def told(self, reason: str, name: str = "") -> bool:
        """
        Tell whether an event with this reason came, about anything of this name if one is given.
        """
        events = [one.object for one in self.seen("Event")]
        return any(
            event["reason"] == reason and name in ("", event["involvedObject"]["name"])
            for event in events
        )

    def pod(self, number: int = 1) -> Object:
        """Return the n-th pod that the client saw; empty as long as it did not."""
        return dict(self.seen("Pod")[number - 1].object) if len(self.seen("Pod")) >= number else {}

    async def until(self, holds: Callable[[], object], what: str, then: float = 0) -> None:
        """
        Wait for something, and then some seconds.

        :raises Stuck: if it does not come.
        """
        patience = Patience(ENOUGH)
        while not holds():
            if patience.is_over():
                raise Stuck(f"{self.recording.header.scenario}: {what} did not come")
            await asyncio.sleep(SECONDS_PER_LOOK)
        await asyncio.sleep(then)

    async def until_runs(self, number: int = 1, then: float = 0) -> None:
        """Wait until the n-th pod runs, and then some seconds."""
        await self.until(
            lambda: _phase(self.pod(number)) == "Running", f"a running pod {number}", then
        )

    async def until_gone(self, number: int = 1, then: float = 0) -> None:
        """Wait until the n-th pod was seen to go, and then some seconds."""

        def gone() -> bool:
            return [one.how for one in self.seen("Pod")][number - 1 : number] == ["DELETED"]

        await self.until(gone, f"the going of pod {number}", then)

    async def until_ended(self, name: str, then: float = 0) -> None:
        """Wait until the newest Job or JobSet of a name has ended, and then some seconds."""
        kind = next(label.kind for label in self.recording.labels if label.name == name)
        await self.until(lambda: _ended(self.seen(kind), name), f"the end of {name}", then)

    # -- everybody else
    # -----------------------------------------------------------------------------------

    def path(self, collection: str, name: str = "", namespace: str = "") -> str:
        """Return the path of a collection, or of an object in it; without a namespace in that of the recording."""
        home = namespace or self.recording.header.namespace
        return f"{_GROUPS.get(collection, '/api/v1')}/namespaces/{home}/{collection}/{name}".rstrip(
            "/"
        )

    def make(self, job: Object) -> None:
        """Let somebody else make a Job."""
        self.cluster.api.create(self.path("jobs", namespace=job["metadata"]["namespace"]), job)

    async def make_and_see_it_run(self, job: Object) -> None:
        """Let somebody else make a Job, and wait until it runs."""
        self.make(job)
        name, namespace = job["metadata"]["name"], job["metadata"]["namespace"]
        pods = self.path("pods", namespace=namespace)

        def running() -> bool:
            items = self.cluster.api.get(pods, labelSelector=f"job-name={name}")["items"]
            return any(_phase(pod) == "Running" for pod in items)

        await self.until(running, f"a running pod of {name}")


def _version(one: Sighting) -> int:
    return int(one.object["metadata"]["resourceVersion"])


def _phase(pod: Object) -> str:
    return str(pod.get("status", {}).get("phase"))


def _ended(seen: list[Sighting], name: str) -> bool:
    newest: Any = [one.object for one in seen if one.name == name][-1:]
    conditions = newest[0].get("status", {}).get("conditions") or () if newest else ()
    return any(
        one["type"] in ("Complete", "Failed", "Completed") and one["status"] == "True"
        for one in conditions
    )
