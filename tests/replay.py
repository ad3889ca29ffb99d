"""
Recorded conversations, read by the code that production reads with.

    python -m tests.replay FILE...

feeds each file's lists, watch lines and replies to a mirror of `airflow_runai.core.kubernetes`, and
prints one JSON object a line, in the form of `judge.py`: what became of the client's trainings. It
reads `.jsonl` and `.jsonl.xz`, never a `truth`, and ends with 0, or with 2 on misuse.
"""

from __future__ import annotations

import argparse
import json
import lzma
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import parse_qs, urlsplit

from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.incarnations import incarnations
from airflow_runai.core.kubernetes.job_facts import JobFacts
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.verdict import verdict

Json: TypeAlias = Mapping[str, Any]
SUFFIXES = (".jsonl", ".jsonl.xz")
LABEL = "app.kubernetes.io/managed-by"
KINDS = {
    "jobs": "Job",
    "jobsets": "JobSet",
    "pods": "Pod",
    "workloads": "Workload",
    "events": "Event",
}
_RESOURCE = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)/namespaces/[^/]+/(?P<kind>[a-z]+)(?:/(?P<name>[^/]+))?"
)


class Target(NamedTuple):
    """What a request is about."""

    method: str
    kind: str
    name: str
    query: Mapping[str, list[str]]
    body: Any

    @property
    def is_watch(self) -> bool:
        return "watch" in self.query

    @property
    def is_complete(self) -> bool:
        """Whether its answer lists all of a kind that are ours."""
        selector = self.query.get("labelSelector", [""])[0]
        is_ours = selector.partition("=")[0] in ("", LABEL) and "," not in selector
        return is_ours and "fieldSelector" not in self.query

    @property
    def is_trial(self) -> bool:
        """Whether it changes nothing, though its answer looks as if."""
        return "dryRun" in self.query


def target(request: Json) -> Target:
    parts = urlsplit(request["path"])
    found = _RESOURCE.fullmatch(parts.path)
    kind = KINDS.get(found["kind"], "") if found else ""
    name = (found["name"] or "") if found else ""
    return Target(request["method"], kind, name, parse_qs(parts.query), request.get("body"))


class Replay:
    """One client: what it asked for, what it saw, which objects it calls its own."""

    def __init__(self, clock: float) -> None:
        self.mirror = Mirror()
        self._clock = clock
        self._targets: dict[int, Target] = {}
        self._pages: defaultdict[str, list[Json]] = defaultdict(list)
        self._first: dict[str, int] = {}
        self._created: set[str] = set()
        self._asked_for: defaultdict[tuple[str, str], list[Json]] = defaultdict(list)
        self._submits = False
        self._shown: dict[str, Json] = {}
        self._addressed: set[str] = set()

    def read(self, entry: Json) -> None:
        """Take one line of a recording; what the client could not see is passed over."""
        if "method" in entry:
            asked = self._targets[entry["id"]] = target(entry)
            self._submits |= asked.method == "POST" and asked.kind in ("Job", "JobSet")
            if asked.method == "POST" and isinstance(asked.body, dict) and not asked.is_trial:
                name = str(asked.body.get("metadata", {}).get("name"))
                # The items of a list do not say of which kind they are.
                body = {key: asked.body[key] for key in asked.body.keys() - {"apiVersion", "kind"}}
                self._asked_for[asked.kind, name].append(body)
        elif "status" in entry and entry["id"] in self._targets:
            self._answer(self._targets[entry["id"]], entry, self._clock + entry["t"])
        elif "line" in entry and self._targets[entry["id"]].is_watch:
            asked = self._targets[entry["id"]]
            self._show(entry["line"]["object"])
            self.mirror.line(asked.kind, entry["line"], self._clock + entry["t"])

    def _answer(self, asked: Target, entry: Json, now: float) -> None:
        status, body = entry["status"], entry.get("body")
        if status == 404 and asked.name and isinstance(body, dict):
            self.mirror.missed(asked.kind, asked.name, now)
        elif status == 403 and not asked.name and asked.method == "GET":
            self.mirror.refused(asked.kind)
        elif status >= 300 or not isinstance(body, dict) or asked.is_trial:
            return
        elif "items" in body:
            self._list(asked, body, now)
        elif "uid" in body.get("metadata", {}):
            self.mirror.found(asked.kind, body, now)
            self._show(body)
            (self._created if asked.method == "POST" else self._addressed).add(
                body["metadata"]["uid"]
            )

    def _list(self, asked: Target, body: Json, now: float) -> None:
        if asked.kind == "Event":
            fields = asked.query.get("fieldSelector", [""])[0]
            group = re.search(r"involvedObject\.name=([^,]+)", fields)
            is_group = "involvedObject.kind=PodGroup" in fields
            self.mirror.events(body["items"], now, group[1] if group and is_group else "")
        elif not asked.is_complete:
            for item in body["items"]:
                self.mirror.found(asked.kind, item, now)
        else:
            self._page(asked, body, now)

    def _page(self, asked: Target, body: Json, now: float) -> None:
        """Collect the pages of a list; the version of the first one holds for all."""
        for item in body["items"]:
            self._show(item)
        if "continue" not in asked.query:
            self._pages[asked.kind] = []
            self._first[asked.kind] = int(body["metadata"]["resourceVersion"])
        self._pages[asked.kind] += body["items"]
        if not body["metadata"].get("continue"):
            self.mirror.listed(asked.kind, self._pages[asked.kind], self._first[asked.kind], now)

    def trainings(self) -> Iterator[Case]:
        """Yield what the client made or adopted."""
        for training in self.mirror.trainings():
            if self._is_own(training) and (case := self.mirror.case(training.uid)):
                yield case

    def _is_own(self, training: JobFacts) -> bool:
        """
        Whether the client made it, or found what it had asked for, or takes care of it.

        One that submits nothing goes on with what it submitted before.
        """
        if training.uid in self._created:
            return True
        shown, bodies = self._shown[training.uid], self._asked_for[training.kind, training.name]
        if bodies:
            return any(agrees(body, shown) for body in bodies)
        is_awaited = training.uid in self._addressed or not self._submits
        return is_awaited and is_labelled(shown)

    def _show(self, found: Json) -> None:
        if "uid" in found.get("metadata", {}):
            self._shown.setdefault(found["metadata"]["uid"], found)


def is_labelled(found: Json) -> bool:
    return LABEL in (found["metadata"].get("labels") or {})


def agrees(asked: Any, found: Any) -> bool:
    """Whether an object has all that was asked for; servers add defaults, and Kueue suspends."""
    if not asked and not found:
        return True
    if isinstance(asked, dict):
        return isinstance(found, dict) and all(
            key == "suspend" or agrees(value, found.get(key)) for key, value in asked.items()
        )
    if isinstance(asked, list):
        pairs = zip(asked, found, strict=False) if isinstance(found, list) else ()
        return (
            isinstance(found, list) and len(found) >= len(asked) and all(agrees(*p) for p in pairs)
        )
    return bool(asked == found)


def reading(case: Case) -> dict[str, Any]:
    """Say what became of a training, in the judge's form."""
    lives = incarnations(case)
    judged = verdict(case, lives)
    return {
        "uid": case.training.uid,
        "final": judged.final or None,
        "failures_to_charge": judged.failures,
        "incarnations": [
            {
                "pod_uid": one.uid,
                "ended": one.ended or None,
                "by": one.by or None,
                "exit_code": one.exit_code,
            }
            for one in lives
        ],
    }


def replayed(entries: Iterable[Json]) -> Replay:
    """Feed the lines of a recording, its header first."""
    lines = iter(entries)
    clock = datetime.fromisoformat(next(lines)["clock"].replace("Z", "+00:00")).timestamp()
    replay = Replay(clock)
    for entry in lines:
        replay.read(entry)
    return replay


def readings(entries: Iterable[Json]) -> list[dict[str, Any]]:
    """Say what became of the trainings of a recording."""
    return [reading(case) for case in replayed(entries).trainings()]


def entries_of(path: Path) -> list[Json]:
    """Read a file."""
    opener = lzma.open if path.suffix == ".xz" else open
    with opener(path, "rt") as lines:
        return [json.loads(line) for line in lines if line.strip()]


def main(arguments: Sequence[str]) -> int:
    """Read the files that are named."""
    parser = argparse.ArgumentParser(prog="python -m tests.replay", description="Read recordings.")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    files: list[Path] = parser.parse_args(arguments).files
    for path in files:
        if not path.name.endswith(SUFFIXES) or not path.is_file():
            parser.error(f"{path}: no file with a name that ends in {' or '.join(SUFFIXES)}")
    for path in files:
        print(json.dumps({"file": str(path), "jobs": readings(entries_of(path))}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
