"""
Whether a recording agrees with itself: its exchanges are complete, its labels fit what the client was shown.

Pure. What a client should have understood is not checked, only what cannot be true of any
conversation.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, TypeAlias

from tests.recording_forms import (
    Answer,
    End,
    Entry,
    Incarnation,
    Label,
    Line,
    Recording,
    Request,
    Truth,
)

#: A line of the file, and what is wrong there.
Problem: TypeAlias = tuple[int, str]

#: Who preempts: KAI by one of its actions, or a scheduler that has only one.
EVICTORS = frozenset(
    {"reclaim", "preempt", "consolidation", "stalegangeviction", "kube-scheduler", "kueue"}
)
#: How a training that went so can have ended.
FINALS: Mapping[str, frozenset[str]] = {
    "succeeded": frozenset({"succeeded"}),
    "failed": frozenset({"failed"}),
    "preempted-and-resumed": frozenset({"succeeded", "failed", "deleted"}),
    "evicted-exit-0": frozenset({"failed"}),
    "deleted": frozenset({"deleted"}),
}
#: What may follow what in one exchange; the end of the file follows only what ends one.
FOLLOWS: Mapping[str, frozenset[str]] = {
    "nothing": frozenset({"request"}),
    "request": frozenset({"answer", "head of a stream", "refused connection"}),
    "head of a stream": frozenset({"line", "end of a stream"}),
    "line": frozenset({"line", "end of a stream"}),
    "answer": frozenset({"end of the file"}),
    "refused connection": frozenset({"end of the file"}),
    "end of a stream": frozenset({"end of the file"}),
}


@dataclass(frozen=True)
class Sighting:
    """An object as the client saw it: in which line, and how (ADDED, MODIFIED, DELETED; LISTED, ANSWERED)."""

    line: int
    how: str
    object: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Its kind."""
        return str(self.object["kind"])

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.object["metadata"]["name"])

    @property
    def uid(self) -> str:
        """Its uid."""
        return str(self.object["metadata"]["uid"])


def sightings(entries: Sequence[Entry]) -> Iterator[Sighting]:
    """Yield every object in lists, answers and watches, in the order of the recording."""
    for number, entry in enumerate(entries, start=2):
        for how, found in _shown(entry):
            if (
                _at(found, "kind")
                and _at(found, "metadata", "name")
                and _at(found, "metadata", "uid")
            ):
                yield Sighting(number, how, found)


def _shown(entry: Entry) -> Iterator[tuple[str, Any]]:
    if isinstance(entry, Line) and not isinstance(entry.line, str):
        if entry.line.type not in ("BOOKMARK", "ERROR"):
            yield entry.line.type, entry.line.object
    elif isinstance(entry, Answer) and isinstance(entry.body, dict):
        kind, items = str(entry.body.get("kind")), entry.body.get("items")
        if not isinstance(items, list):
            yield "ANSWERED", entry.body
            return
        for item in items:  # which has no kind of its own
            yield (
                "LISTED",
                {"kind": kind.removesuffix("List"), **item} if isinstance(item, dict) else item,
            )


def _at(found: Any, *keys: str) -> Any:
    """Return what lies at a path, or None: a damaged file may hold anything anywhere."""
    for key in keys:
        found = found.get(key) if isinstance(found, dict) else None
    return found


def problems(recording: Recording) -> list[str]:
    """Say all that cannot be true, in the order of the file."""
    seen = list(sightings(recording.entries))
    last = len(recording.entries) + 2
    found = chain(
        talk_problems(recording.entries),
        _truths(recording),
        *(
            [(last, f"{label.name}: {text}") for text in _label(label, seen)]
            for label in recording.labels
        ),
    )
    return [f"line {line}: {text}" for line, text in sorted(found)]


def talk_problems(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Say what cannot be true of a conversation, whatever it is about."""
    yield from _exchanges(entries)
    yield from _streams(entries)


def _exchanges(entries: Sequence[Entry]) -> Iterator[Problem]:
    by_id = defaultdict[int, list[tuple[int, Entry]]](list)
    for number, entry in enumerate(entries, start=2):
        if not isinstance(entry, Truth):
            by_id[entry.id].append((number, entry))
    for exchange, steps in by_id.items():
        before = "nothing"
        for number, entry in steps:
            step = _step(entry)
            if step not in FOLLOWS[before]:
                yield (
                    number,
                    f"{step} of exchange {exchange} after {before}; allowed: {_list(FOLLOWS[before])}",
                )
            before = step
        if "end of the file" not in FOLLOWS[before]:
            yield steps[-1][0], f"exchange {exchange} stays without {_list(FOLLOWS[before])}"
        for (_, one), (number, other) in pairwise(steps):
            if other.t < one.t:
                yield number, f"time of exchange {exchange} runs back from {one.t} to {other.t}"


def _step(entry: Entry) -> str:
    if isinstance(entry, Request):
        return "request"
    if isinstance(entry, Answer):
        return "answer" if entry.body is not None else "head of a stream"
    if isinstance(entry, End):
        return (
            "refused connection"
            if entry.end == "broken: ClientConnectorError"
            else "end of a stream"
        )
    return "line"


def _list(words: frozenset[str]) -> str:
    return " or ".join(sorted(words))


def _streams(entries: Sequence[Entry]) -> Iterator[Problem]:
    """Check what streams say: watches tell of objects whose versions rise, logs say text."""
    watches = {one.id: "watch=true" in one.path for one in entries if isinstance(one, Request)}
    newest: dict[int, int] = {}
    for number, entry in enumerate(entries, start=2):
        if not isinstance(entry, Line):
            continue
        if isinstance(entry.line, str):
            if watches.get(entry.id):
                yield number, f"a watch says text: {entry.line[:80]}"
            continue
        if not watches.get(entry.id, True):
            yield number, "a log says a watch event"
        if entry.line.type == "ERROR":
            continue
        version = str(_at(entry.line.object, "metadata", "resourceVersion"))
        known = newest.get(entry.id, -1)
        if not version.isdecimal():
            yield number, f"resourceVersion is {version}, and not a number"
        elif int(version) < known or (int(version) == known and entry.line.type != "BOOKMARK"):
            yield number, f"resourceVersion {version} after {known} in the same watch"
        else:
            newest[entry.id] = int(version)


def _truths(recording: Recording) -> Iterator[Problem]:
    known = {one.pod_uid for label in recording.labels for one in label.incarnations}
    for number, entry in enumerate(recording.entries, start=2):
        if isinstance(entry, Truth):
            for uid in (entry.truth.pod_uid, *entry.truth.pod_uids):
                if uid and uid not in known:
                    yield number, f"pod {uid} is in no label"


def _label(label: Label, seen: Sequence[Sighting]) -> Iterator[str]:
    if not any(
        (one.kind, one.name, one.uid) == (label.kind, label.name, label.uid) for one in seen
    ):
        yield f"no {label.kind} of this name with the uid {label.uid} was seen"
    uids = [one.pod_uid for one in label.incarnations]
    if len(set(uids)) < len(uids):
        yield "the same pod is in it twice"
    yield from _story(label)
    for one in label.incarnations:
        yield from (
            f"{one.pod}: {text}"
            for text in chain(_end(one), _shown_of(one, seen), _evict_events(one, seen))
        )
    yield from _order(label, seen)


def _story(label: Label) -> Iterator[str]:
    ends = [one.ended for one in label.incarnations]
    if label.final not in FINALS[label.story]:
        yield f"story {label.story} cannot end {label.final}"
    if label.final == "succeeded" and "succeeded" not in (
        ends[-1:] if label.kind == "Job" else ends
    ):
        yield f"it succeeded, but its incarnations {', '.join(ends) or 'are missing'}"
    if label.story in ("preempted-and-resumed", "evicted-exit-0") and "preempted" not in ends:
        yield f"story {label.story}, but no incarnation was preempted"
    failures = [one.attempt for one in label.incarnations if one.ended == "failed"]
    # Members that fail together fail once.
    charged = len(set(failures)) if None not in failures else len(failures)
    if label.failures_to_charge != charged:
        yield f"failures_to_charge is {label.failures_to_charge}, but {charged} incarnations or attempts failed"


def _end(one: Incarnation) -> Iterator[str]:
    by_itself = one.ended in ("succeeded", "failed")
    if by_itself != (one.by is None) or (one.ended == "preempted" and one.by not in EVICTORS):
        yield f"{one.ended} by {one.by}"
    if by_itself and (one.exit_code == 0) != (one.ended == "succeeded"):
        yield f"{one.ended} with exit code {one.exit_code}"
    if (one.exit_code is None) != (one.reason is None):
        yield f"exit code {one.exit_code} with reason {one.reason}"


def _shown_of(one: Incarnation, seen: Sequence[Sighting]) -> Iterator[str]:
    pods = [pod for pod in seen if pod.kind == "Pod" and pod.uid == one.pod_uid]
    if bool(pods) != one.visible:
        yield f"visible is {one.visible}, but the pod was seen {len(pods)} times"
    yield from (
        f"the pod with its uid is called {name}" for name in {pod.name for pod in pods} - {one.pod}
    )
    shown = {end for pod in pods for end in _ends(pod.object)}
    told = (
        {(one.exit_code, one.reason)}
        if one.exit_code is not None and one.exit_code_seen and one.visible
        else set()
    )
    if shown != told:
        yield f"its container was shown to end with {shown or 'nothing'}, the label says {told or 'nothing'}"


def _ends(pod: Any) -> Iterator[tuple[int | None, str | None]]:
    statuses = _at(pod, "status", "containerStatuses")
    for status in statuses if isinstance(statuses, list) else ():
        if end := _at(status, "state", "terminated"):
            code, reason = _at(end, "exitCode"), _at(end, "reason")
            yield (
                code if isinstance(code, int) else None,
                reason if isinstance(reason, str) else None,
            )


def _evict_events(one: Incarnation, seen: Sequence[Sighting]) -> Iterator[str]:
    events = [
        found.object
        for found in seen
        if found.kind == "Event" and _at(found.object, "reason") == "Evict"
    ]
    actions = {
        str(_at(event, "metadata", "annotations", "evictor-action-type") or one.by)
        for event in events
        if f"/{one.pod} " in f"{_at(event, 'message')} "
    }
    if actions and not one.evict_event:
        yield "evict_event is False, but there is an Evict event"
    if actions - {one.by}:
        yield f"preempted by {one.by}, but an Evict event says {_list(frozenset(actions))}"


def _order(label: Label, seen: Sequence[Sighting]) -> Iterator[str]:
    created = {
        one.uid: str(_at(one.object, "metadata", "creationTimestamp"))
        for one in seen
        if one.kind == "Pod"
    }
    known = [one for one in label.incarnations if one.pod_uid in created]
    for one, other in pairwise(known):
        if created[other.pod_uid] < created[one.pod_uid]:
            yield f"{other.pod} stands after {one.pod}, but was created before it"
