"""
A second control plane beside the simulation's own: the embedded Run:ai, over a real socket, asked the same questions.

Two parties that share no code must agree on statuses, on what is seen, and on phases; else one of
the two models is wrong. Where they may differ is the table :data:`SAME`.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import Any

import httpx

from airflow_runai.emulator import Emulator
from tests.simulation.clock import BEGIN
from tests.simulation.history import History, Life, Platform
from tests.simulation.server import Answer, Server
from tests.simulation.simulation import Simulation
from tests.simulation.story import Fact

#: Known differences. The embedded Run:ai schedules at once and shows each step on the way to a run
#: more briefly.
SAME = {
    "Creating": "not yet",
    "Pending": "not yet",
    "Initializing": "not yet",
    "Resuming": "not yet",
}
RUN = 200.0
#: Seconds from the creation to the first run, in both.
START = 4.5
GRACE = 5.0
#: What happens to a request on its way is the wire's; what the server itself conceals has no
#: counterpart here.
OTHERS = ("hide", "restore", "copy")


def comparable(history: History) -> History:
    """Leave of a history what both control planes can play."""
    calm = Platform(grace=GRACE)
    acts = tuple(act for act in history.acts if act.what not in OTHERS)
    lives = (Life(((START - 4.0, RUN),)),)
    return replace(history, platform=calm, lives=lives, acts=acts, neighbours=0)


@dataclass(eq=False)
class Twin(Server):
    """Answers as the simulation's server, and lets the emulator answer the same."""

    simulation: Simulation
    emulator: Emulator
    ids: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__(self.simulation.world)
        self.simulation.wire.server = self
        self.simulation.story.watchers.append(self._let_people_act)
        self.client = httpx.Client(base_url=self.emulator.url)
        login = {"client_id": self.emulator.client_id, "client_secret": self.emulator.client_secret}
        token = self.client.post(
            "/api/v2/token", data={"grant_type": "client_credentials", **login}
        ).json()
        self.client.headers["Authorization"] = f"Bearer {token['access_token']}"
        projects = self.client.get("/api/v1/org-unit/projects").json()["projects"]
        self.project = next(project for project in projects if project["name"] == "team-a")

    def answer(
        self, who: str, method: str, path: str, query: Mapping[str, str], body: Any
    ) -> Answer:
        """Ask both; return what the simulation's own says."""
        ours = super().answer(who, method, path, query, body)
        if not path.endswith("/token"):
            self._compare(
                f"{method} {path} {query.get('filterBy', '')}",
                ours,
                self._theirs(method, path, query, body),
            )
        return ours

    def _theirs(self, method: str, path: str, query: Mapping[str, str], body: Any) -> Answer:
        self.emulator.advance(max(0.0, BEGIN + self.world.now() - self.emulator.clock.now()))
        for ours, theirs in self.ids.items():
            path = path.replace(ours, theirs)
        asked = {
            k: v.replace("projectId==7", f"projectId=={self.project['id']}")
            for k, v in query.items()
        }
        if body is not None:
            body = {**body, "projectId": self.project["id"], "clusterId": self.project["clusterId"]}
        # In a context of its own: this request is real, and no step of a simulated process.
        reply = Context().run(self.client.request, method, path, params=asked, json=body)
        found = reply.json() if reply.content else None
        if (
            method == "POST"
            and reply.status_code == 202
            and isinstance(found, dict)
            and "workloadId" in found
        ):
            self.ids[self.world.workloads[-1].id] = found["workloadId"]
        return reply.status_code, found

    def _let_people_act(self, fact: Fact) -> None:
        deeds = {
            "deleted": ("DELETE", ""),
            "suspended": ("POST", "/suspend"),
            "resumed": ("POST", "/resume"),
        }
        if fact.kind in deeds and fact.who == "a person":
            method, action = deeds[fact.kind]
            identity = self.world.workloads[fact.ordinal].id
            self._theirs(method, f"/api/v1/workloads/trainings/{identity}{action}", {}, None)

    def _compare(self, call: str, ours: Answer, theirs: Answer) -> None:
        self.asked.append(call)
        if _essence(ours) != _essence(theirs):
            self.differences.append(
                f"{self.world.now():.1f} {call}: {_essence(ours)} here, {_essence(theirs)} there"
            )


def _essence(answer: Answer) -> Any:
    """Return what a client may rely on: the status, who is there, and in which phase."""
    status, body = answer
    if status >= 300 or not isinstance(body, Mapping):
        return status
    if "workloads" in body:
        return status, sorted(
            (w["name"], _plain(w["phase"])) for w in body["workloads"] if w["name"] != "stranger"
        )
    if "records" in body:
        told = [
            r["spec"]["phaseUpdate"]["phase"] for r in body["records"] if "phaseUpdate" in r["spec"]
        ]
        return status, [phase for phase, _ in groupby(map(_plain, told))]
    phase = body.get("phase") or body.get("actualPhase")
    return (status, body.get("name"), _plain(phase)) if phase else status


def _plain(phase: str) -> str:
    return SAME.get(phase, phase)
