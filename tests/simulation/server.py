"""
What the control plane says: its REST calls over the :class:`World`, with its delays and its gaps.

It shares nothing with the package or the emulator: a wrong belief would be tested against itself.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

from tests.simulation.clock import BEGIN
from tests.simulation.process import ASIDE
from tests.simulation.world import (
    EMPTY_LIST,
    HIDDEN,
    LATE_LIST,
    LATE_READ,
    LATE_STOP,
    Workload,
    World,
)

Answer = tuple[int, Any]
NOT_FOUND: Answer = (404, {"code": 404, "message": "not found"})
PROJECT = {"id": "7", "name": "team-a", "clusterId": "c-1", "status": {"namespace": "runai-team-a"}}
_CHANGED_SINCE = re.compile(r"phaseUpdatedAt>=([^,]+)")
_CONDITION = re.compile(r"(\w+)(==|!=|=\^|=@|>=|<=)(.*)")


class Server:
    """Answers requests."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.asker = ""

    def answer(
        self, who: str, method: str, path: str, query: Mapping[str, str], body: Any
    ) -> Answer:
        """Do what a request asks for; it takes effect now."""
        self.asker = who
        if path.endswith("/token"):
            return 200, {"access_token": "a-token-of-the-simulation", "expires_in": 3600}
        if path == "/api/v1/org-unit/projects":
            return 200, {"projects": [PROJECT]}
        if path == "/api/v1/workloads":
            return 200, {"workloads": self._listed(query)}
        if path == "/api/v1/workloads/pods":
            return 200, {"pods": self._pods(query)}
        if method == "POST" and path in (
            "/api/v1/workloads/trainings",
            "/api/v1/workloads/distributed",
        ):
            return self._create(who, body)
        return self._about_one(who, method, path.removeprefix("/api/v1/workloads/").split("/"))

    def _create(self, who: str, body: Any) -> Answer:
        made = self.world.create(body["name"], body["spec"], who)
        if made is None:
            return 400, {"code": 400, "message": f"workload {body['name']} already exists"}
        return 202, self._typed(made)

    def _about_one(self, who: str, method: str, parts: list[str]) -> Answer:
        typed = parts[0] in ("trainings", "distributed")
        identity, action = parts[1 if typed else 0], parts[2 if typed else 1 :]
        found = next((w for w in self.world.workloads if w.id == identity), None)
        if found is None or not self._can_be_read(found, method):
            return NOT_FOUND
        calls: dict[tuple[str, str], Callable[[Workload, str], object]] = {
            ("DELETE", ""): self.world.delete,
            ("POST", "suspend"): self.world.suspend,
            ("POST", "resume"): self.world.resume,
        }
        call = calls.get((method, action[0] if action else ""))
        if call is not None:
            call(found, who)
            return 202, {}
        return self._look(found, action[0] if action else "", typed)

    def _look(self, found: Workload, what: str, typed: bool) -> Answer:
        if what == "history":
            return self._history(found)
        if what == "events":
            return 200, {"events": []}
        if what == "pods":
            return 200, {"pods": self._pods({"filterBy": f"workloadId=={found.id}"})}
        return 200, self._typed(found) if typed else self._generic(found, self.world.now())

    def _pods(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        """Tell the pods that stand, also those of a workload that is deleted already."""
        standing = [
            w
            for w in self.world.workloads
            if w.has_pods(self.world.now()) and not self._is_hidden(w)
        ]
        chosen = [w for w in standing if _matches(w, query.get("filterBy", ""))]
        names = [
            {"name": f"{w.name}-0", "workloadId": w.id, "workloadName": w.name} for w in chosen
        ]
        return [{**pod, "k8sPhase": "Running"} for pod in names]

    def _can_be_read(self, found: Workload, method: str) -> bool:
        now = self.world.now()
        if found.deleted is not None:
            return False
        if now < found.created + self.world.platform.read_lag:
            found.lies.append((now, LATE_STOP if method == "DELETE" else LATE_READ))
            return False
        return not self._is_hidden(found)

    def _is_hidden(self, found: Workload) -> bool:
        hidden = self.world.now() < found.hidden_until
        if hidden:
            found.lies.append((self.world.now(), HIDDEN))
        return hidden

    def _listed(self, query: Mapping[str, str]) -> list[dict[str, Any]]:
        moment = self.world.now() - self.world.platform.list_lag
        deleted = query.get("deleted") == "true"
        return [
            self._generic(w, moment)
            | ({"deletedAt": self._iso(w.deleted)} if deleted and w.deleted is not None else {})
            for w in self.world.workloads
            if _matches(w, query.get("filterBy", ""))
            and self._has_changed(w, moment, query.get("filterBy", ""))
            and self._is_listed(w, moment, deleted)
            and not self._is_hidden(w)
        ]

    def _has_changed(self, workload: Workload, moment: float, filters: str) -> bool:
        """Apply ``phaseUpdatedAt>=…``; a server that does not tell when does not know the field."""
        found = _CHANGED_SINCE.search(filters)
        if found is None or not self.world.platform.tells_when:
            return True
        since = datetime.fromisoformat(found[1].replace("Z", "+00:00")).timestamp()
        return self.now_by_its_clock(workload.phase_at(moment)[0]) >= since

    def _is_listed(self, workload: Workload, moment: float, deleted: bool) -> bool:
        if workload.created > moment and not deleted:
            workload.lies.append((self.world.now(), LATE_LIST))
        is_deleted = workload.deleted is not None and workload.deleted <= moment
        return workload.created <= moment and is_deleted == deleted

    def _iso(self, moment: float) -> str:
        return datetime.fromtimestamp(self.now_by_its_clock(moment), timezone.utc).isoformat()

    def now_by_its_clock(self, moment: float) -> float:
        """Tell epoch seconds as the control plane has them."""
        return BEGIN + moment + self.world.platform.clock_off

    def deny_all(self) -> None:
        """Note that an empty list has denied what exists."""
        for workload in self.world.workloads:
            if workload.deleted is None:
                workload.lies.append((self.world.now(), EMPTY_LIST))

    def _generic(self, workload: Workload, moment: float) -> dict[str, Any]:
        since, phase, message = self._phase(workload, moment)
        platform = self.world.platform
        return {
            **{"id": workload.id, "name": workload.name, "type": "Training", "phase": phase},
            **{
                "projectId": "7",
                "clusterId": "c-1",
                "phaseMessage": message,
                "createdAt": self._iso(workload.created),
            },
            **({"phaseUpdatedAt": self._iso(since)} if platform.tells_when else {}),
            **({"environmentVariables": workload.variables} if platform.tells_variables else {}),
        }

    def _typed(self, workload: Workload) -> dict[str, Any]:
        return {
            **{
                "workloadId": workload.id,
                "name": workload.name,
                "actualPhase": self._phase(workload, self.world.now())[1],
            },
            **{"projectId": "7", "clusterId": "c-1", "createdAt": self._iso(workload.created)},
            "spec": dict(workload.spec),
        }

    def _phase(self, workload: Workload, moment: float) -> tuple[float, str, str]:
        if self.asker in ASIDE:  # they wait for nothing
            return workload.phase_at(moment)
        return workload.tell_phase(moment, self.world.now())

    def _history(self, workload: Workload) -> Answer:
        kept = self.world.platform.history
        if kept == "none":
            return NOT_FOUND
        if kept == "forbidden":
            return 403, {"code": 403, "message": "no permission for workloads history"}
        places = range(len(workload.phases))
        for place in places[-1:] if kept == "newest" else places:
            workload.told.setdefault(place, self.world.now())
        records = [
            {
                "meta": {"creationTimestamp": self._iso(at)},
                "spec": {"phaseUpdate": {"phase": phase, "phaseMessage": words}},
            }
            for at, phase, words in reversed(workload.phases)
        ]
        return 200, {"records": records[:1] if kept == "newest" else records}


def _matches(workload: Workload, filters: str) -> bool:
    return all(
        _fits(workload, *found.groups())
        for part in filters.split(",")
        if (found := _CONDITION.fullmatch(part))
    )


def _fits(workload: Workload, field: str, operator: str, value: str) -> bool:
    ours = {
        "name": workload.name,
        "workloadName": workload.name,
        "workloadId": workload.id,
        "projectId": "7",
    }
    have = {**ours, "phase": workload.phase}.get(field)
    if have is None:
        return True
    tests = {
        "==": have == value,
        "!=": have != value,
        "=^": have.startswith(value),
        "=@": value in have,
    }
    return tests.get(operator, True)
