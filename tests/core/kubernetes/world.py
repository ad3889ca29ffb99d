"""
A cluster on paper: what a server shows while trainings run, in versions and with whole seconds.

Only what controllers and schedulers were seen to do (`../shared/reference/*-facts.md`). Each story
knows the truth: how every pod ended, and what a client must say.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any
from uuid import UUID

from airflow_runai.core.kubernetes.mirror import Mirror

NAMESPACE = "team-a"
Object = dict[str, Any]
#: Seconds since 1970 at which every story begins.
START = 1_700_000_000.0


def stamp(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def copied(found: Object) -> Object:
    same: Object = json.loads(json.dumps(found))
    return same


@dataclass
class Said:
    """One thing that a client hears, at a time; `kind` is the stream."""

    at: float
    kind: str
    how: str
    object: Object

    def tell(self, mirror: Mirror) -> None:
        if self.how == "ANSWERED":
            mirror.found(self.kind, self.object, self.at)
        elif self.how == "MISSING":
            mirror.missed(self.kind, self.object["name"], self.at)
        elif self.how == "LISTED":
            mirror.listed(self.kind, self.object["items"], self.object["version"], self.at)
        else:
            mirror.line(self.kind, {"type": self.how, "object": self.object}, self.at)


@dataclass
class Truth:
    """How one pod ended."""

    ended: str
    by: str | None
    code: int | None


@dataclass(repr=False)
class World:
    """The cluster; `said` is what a client that watches everything hears."""

    now: float = START
    version: int = 100
    said: list[Said] = field(default_factory=list)
    store: dict[str, Object] = field(default_factory=dict)
    truth: dict[str, Truth] = field(default_factory=dict)
    _uids: int = 0

    def wait(self, seconds: float = 0.01) -> None:
        self.now += seconds

    def uid(self) -> str:
        self._uids += 1
        return str(UUID(int=self._uids))

    def write(self, kind: str, found: Object, how: str = "MODIFIED") -> None:
        """Store an object under a new version and show it."""
        self.version += 1
        self.wait()
        found["metadata"]["resourceVersion"] = str(self.version)
        uid = found["metadata"]["uid"]
        if how == "DELETED":
            self.store.pop(uid, None)
        else:
            self.store[uid] = {"kind": kind, **found}
        self.said.append(Said(self.now, kind, how, copied({"kind": kind, **found})))

    def show_list(self, kind: str) -> Said:
        """Return what a list would show now; items carry no kind."""
        items = [
            {key: value for key, value in copied(one).items() if key != "kind"}
            for one in self.store.values()
            if one["kind"] == kind
        ]
        return Said(self.now, kind, "LISTED", {"items": items, "version": self.version})

    def new(self, name: str, labels: dict[str, str], owner: Object | None, **spec: Any) -> Object:
        owners = []
        if owner:
            kind = "JobSet" if "replicatedJobs" in owner["spec"] else "Job"
            owners = [{"kind": kind, "uid": owner["metadata"]["uid"], "controller": True}]
        metadata = {
            "name": name,
            "namespace": NAMESPACE,
            "uid": self.uid(),
            "creationTimestamp": stamp(self.now),
            "labels": {"app.kubernetes.io/managed-by": "airflow-runai", **labels},
            "ownerReferences": owners,
        }
        return {"metadata": metadata, "spec": spec, "status": {}}
