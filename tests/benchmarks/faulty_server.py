"""
A control plane with thousands of workloads that do what a script says, and that fails when told to.

It speaks what a wait needs: tokens, filtered lists with pages, single reads, histories, pods, logs.
It shares nothing with the package or the emulator. A row is as long as a real one (2.7 kB), and is
made only when it is sent, so that ten thousand workloads take no memory worth counting.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any

from tests.benchmarks.log_pages import LOG, log_page

PHASES = ("Creating", "Pending", "Initializing", "Running")
_CONDITION = re.compile(r"(\w+)(==|!=|=\^|=@|>=)(.*)")
_LIST, _CLUSTER = "/api/v1/workloads", "/cluster-api/"


@dataclass(slots=True, eq=False)
class Row:
    """
    One workload.

    :param past: (since, phase) of what came before, oldest first.
    :param is_broken: listed with a phase that is no text.
    """

    id: str
    name: str
    project: str
    created: float
    phase: str
    since: float
    past: tuple[tuple[float, str], ...] = ()
    is_broken: bool = False

    def enter(self, phase: str, now: float) -> None:
        """Change its phase."""
        self.past = (*self.past, (self.since, self.phase))
        self.phase, self.since = phase, now

    @property
    def history(self) -> tuple[tuple[float, str], ...]:
        return (*self.past, (self.since, self.phase))


@dataclass(frozen=True)
class Fault:
    """
    What goes wrong for a while.

    :param kind: an HTTP status as text, ``empty`` or ``shrunken`` (lists lack all or half of their
        rows), ``slow`` (replies take ``seconds``), ``down`` (no connection).
    :param since: epoch seconds, as ``until``.
    :param everything: befalls each request to the control plane, not only lists.
    """

    kind: str
    since: float
    until: float
    everything: bool = False
    seconds: float = 0.0


class Down(Exception):
    """The server takes no connection."""


@dataclass
class Server:
    """
    Answers requests and remembers them.

    :param now: epoch seconds.
    :param fields: what lists can be filtered by.
    :param allowed: requests a second, beyond which it answers 429; 0 for any number.
    :param retry_after: what a 429 says; ``None`` for nothing.
    :param logs: names of the workloads whose log was read; a pod that has left has none.
    """

    now: Callable[[], float]
    fields: frozenset[str] = frozenset({"projectId", "phase", "name", "phaseUpdatedAt"})
    allowed: float = 0.0
    retry_after: int | None = None
    faults: tuple[Fault, ...] = ()
    rows: dict[str, Row] = field(default_factory=dict)
    requests: list[tuple[float, str]] = field(default_factory=list)
    logs: set[str] = field(default_factory=set)
    _named: dict[str, Row] = field(default_factory=dict)
    _bucket: tuple[float, float] = (0.0, 0.0)
    _last_list: tuple[Any, list[Row]] = (None, [])
    _version: int = 0

    def add(self, row: Row) -> None:
        self.rows[row.id] = self._named[row.name] = row
        self._version += 1

    def enter(self, row: Row, phase: str) -> None:
        """Let a workload change its phase now."""
        row.enter(phase, self.now())
        self._version += 1

    def counted(self, since: float, until: float) -> Counter[str]:
        """Count the requests of a time by kind."""
        return Counter(kind for at, kind in self.requests if since <= at < until)

    def delay(self, path: str) -> float:
        """Seconds by which the answer comes late."""
        return max((f.seconds for f in self._befalls(path) if f.kind == "slow"), default=0.0)

    def answer(self, path: str, query: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
        """
        Answer one request with status, headers and body.

        :raises Down: there is no answer.
        """
        self.requests.append((self.now(), _kind(path, query)))
        troubles = {fault.kind for fault in self._befalls(path)}
        if "down" in troubles:
            raise Down
        statuses = sorted(int(kind) for kind in troubles if kind.isdecimal())
        if statuses or self._is_too_much():
            return self._refusal(statuses[0] if statuses else 429)
        if path.endswith("/token"):
            return _json({"access_token": "a-token-of-the-bench", "expires_in": 3600})
        if path == _LIST:
            return self._listed(query, troubles)
        if path == f"{_LIST}/pods":
            return _json({"pods": []})
        if path.startswith(_CLUSTER):
            return self._log(path)
        if page := log_page(path):
            return page
        return self._one(path.removeprefix(f"{_LIST}/").split("/"))

    def _befalls(self, path: str) -> Iterator[Fault]:
        now = self.now()
        for fault in self.faults:
            is_meant = path == _LIST or (fault.everything and not path.startswith(_CLUSTER))
            if fault.since <= now < fault.until and is_meant:
                yield fault

    def _is_too_much(self) -> bool:
        if not self.allowed:
            return False
        tokens, at = self._bucket
        now = self.now()
        tokens = min(tokens + (now - at) * self.allowed, self.allowed)
        self._bucket = (max(tokens - 1.0, 0.0) if tokens >= 1.0 else tokens, now)
        return tokens < 1.0

    def _refusal(self, status: int) -> tuple[int, dict[str, str], bytes]:
        _, headers, body = _json({"code": status, "message": "not now"})
        if status == 429 and self.retry_after is not None:
            headers["retry-after"] = str(self.retry_after)
        return status, headers, body

    def _log(self, path: str) -> tuple[int, dict[str, str], bytes]:
        row = self._named[path.split("/")[-3]]
        if row.phase not in ("Running", "Terminating"):
            return 404, *_json({"message": "no such pod"})[1:]
        self.logs.add(row.name)
        return 200, {"content-type": "text/plain"}, LOG

    def _one(self, parts: Sequence[str]) -> tuple[int, dict[str, str], bytes]:
        row = self.rows.get(parts[0])
        if row is None:
            _, headers, body = _json({"code": 404, "message": "no such workload"})
            return 404, headers, body
        if parts[1:] == ["history"]:
            return _json({"records": [_record(at, phase) for at, phase in row.history]})
        return 200, dict(_HEADERS), _written(row)

    def _listed(
        self, query: Mapping[str, str], troubles: set[str]
    ) -> tuple[int, dict[str, str], bytes]:
        conditions = tuple(filter(None, query.get("filterBy", "").split(",")))
        matches = [_CONDITION.fullmatch(condition) for condition in conditions]
        if any(match is None or match[1] not in self.fields for match in matches):
            return self._refusal(400)
        rows = [] if query.get("deleted") == "true" else self._chosen(conditions)
        if "empty" in troubles:
            rows = []
        elif "shrunken" in troubles:
            rows = rows[::2]
        return _page(rows, int(query.get("limit", "50")), int(query.get("offset", "0")))

    def _chosen(self, conditions: tuple[str, ...]) -> list[Row]:
        # One pass reads many pages of the same list.
        if self._last_list[0] != (conditions, self._version):
            tests = [_test(condition) for condition in conditions]
            rows = [row for row in self.rows.values() if all(test(row) for test in tests)]
            self._last_list = ((conditions, self._version), rows)
        return self._last_list[1]


def _kind(path: str, query: Mapping[str, str]) -> str:
    if path.endswith("/token"):
        return "token"
    if path == _LIST:
        filters = query.get("filterBy", "")
        if query.get("deleted") == "true":
            return "deleted"
        return "delta" if "phaseUpdatedAt" in filters else "find" if "name" in filters else "list"
    last = path.rpartition("/")[2]
    return last if last in ("history", "pods", "download") else "single"


def _test(condition: str) -> Callable[[Row], bool]:
    match = _CONDITION.fullmatch(condition)
    assert match is not None, "looked at before"
    name, operator, value = match.groups()
    if name == "phaseUpdatedAt":
        moment = datetime.fromisoformat(value.replace("Z", "+00:00")).timestamp()
        return lambda row: row.since >= moment
    attribute = {"projectId": "project", "phase": "phase", "name": "name"}[name]
    compare: Callable[[str], bool] = {
        "==": lambda have: have == value,
        "!=": lambda have: have != value,
        "=^": lambda have: have.startswith(value),
        "=@": lambda have: value in have,
    }[operator]
    return lambda row: compare(getattr(row, attribute))


def _page(rows: list[Row], limit: int, offset: int) -> tuple[int, dict[str, str], bytes]:
    end = offset + min(limit, 500)
    body = b",".join(_written(row) for row in rows[offset:end])
    following = b',"next":%d' % end if end < len(rows) else b""
    return 200, dict(_HEADERS), b'{"workloads":[%b]%b}' % (body, following)


@lru_cache(4096)
def iso(moment: float) -> str:
    """Write a moment as the control plane does."""
    return datetime.fromtimestamp(moment, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _record(at: float, phase: str) -> dict[str, Any]:
    update = {"phase": phase, "phaseMessage": ""}
    return {"meta": {"creationTimestamp": iso(at)}, "spec": {"phaseUpdate": update}}


_HEADERS = {"content-type": "application/json"}


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, dict(_HEADERS), json.dumps(value).encode()


def _template() -> bytes:
    """Write a row with gaps; what no wait reads makes up most of it."""
    environment = {
        f"VARIABLE_{number}": "a value of some length, as they are" for number in range(24)
    }
    about = {
        "type": "Training",
        "priority": "train",
        "clusterId": "7f3c9a52-4a54-4d0b-9a2e-1d4bb1f3c001",
        "submittedBy": "airflow@example.org",
        "nodepools": ["default"],
        "environmentVariables": environment,
        "images": ["registry.example/teams/team-a/training:2026-11-01"],
        "allocatedResources": {"gpu": 1, "gpuMemory": "80G", "cpu": 8, "cpuMemory": "64G"},
        "requestResources": {"gpu": 1, "gpuMemory": "80G", "cpu": 8, "cpuMemory": "64G"},
        "storage": [
            {"type": "pvc", "path": "/shared", "claimName": f"claim-{n}"} for n in range(8)
        ],
        "urls": [],
        "conditions": [
            {
                "type": phase,
                "status": "True",
                "reason": "Reported",
                "message": "as the cluster said",
            }
            for phase in PHASES
        ],
    }
    gaps = (
        '{"id":"%b","name":"%b","projectId":"%b","createdAt":"%b","phaseUpdatedAt":"%b","phase":%b,'
    )
    return (gaps + json.dumps(about).replace("%", "%%")[1:]).encode()


_TEMPLATE = _template()


def _written(row: Row) -> bytes:
    texts = (row.id, row.name, row.project, iso(row.created), iso(row.since))
    phase = "7" if row.is_broken else json.dumps(row.phase)
    return _TEMPLATE % (*(text.encode() for text in texts), phase.encode())
