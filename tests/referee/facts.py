"""
What one client saw, as sequences of facts for each role: from a recording, or from a run on the rig.

Pure. An object's states stand in the order of their versions, whichever request or watch showed
them first; a state that was shown twice stands once.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

from tests.recording_checks import Sighting, sightings
from tests.recording_forms import Answer, End, Entry, Line, Request, Truth
from tests.referee.aspects import State, state
from tests.referee.roles import Roles

#: Of an event's annotations, this one says what the scheduler did.
ACTION = "evictor-action-type"
#: What `sh` says about its `sleep` if it learns of the signal to that before it handles its own;
#: chance decides.
SHELL_SAYS = "Terminated"


@dataclass(frozen=True)
class Facts:
    """
    All that can be compared.

    :param objects: role → its distinct states; the last has the aspect `gone` if a watch said
        DELETED.
    :param events: role → what events said about it, repeated ones once for each event object.
    :param words: what events and conditions of pods and PodGroups said, under kind and reason
        (type): those are what stand-ins write. The others come from the real controllers.
    :param commands: a command of the client → its outcomes; a log's are the kinds of its lines.
    :param streams: a collection → the outcomes of all lists and watches of it.
    """

    objects: Mapping[str, Sequence[State]]
    events: Mapping[str, Sequence[str]]
    words: Mapping[str, frozenset[str]]
    commands: Mapping[str, Sequence[str]]
    streams: Mapping[str, Sequence[str]]


def facts_of(entries: Sequence[Entry]) -> Facts:
    """Turn a conversation into facts."""
    seen = list(sightings(entries))
    roles = Roles(seen)
    commands, streams = _exchanges(entries, roles)
    return Facts(
        objects=_objects([one for one in seen if one.kind != "Event"], roles),
        events=_events([one for one in seen if one.kind == "Event"], roles),
        words=_words(seen, roles),
        commands=commands,
        streams=streams,
    )


def _version(one: Sighting) -> int:
    return int(one.object["metadata"]["resourceVersion"])


def _objects(seen: Sequence[Sighting], roles: Roles) -> dict[str, list[State]]:
    states = defaultdict[str, list[State]](list)
    for one in sorted(seen, key=lambda one: (_version(one), one.how == "DELETED")):
        told = state(one.kind, one.object, roles.plain)
        if one.how == "DELETED":
            told = {**told, "gone": "yes"}
        if told not in states[roles.of_uid[one.uid]][-1:]:
            states[roles.of_uid[one.uid]].append(told)
    return dict(states)


def _events(seen: Sequence[Sighting], roles: Roles) -> dict[str, list[str]]:
    told = defaultdict[str, list[str]](list)
    known = set()
    for one in sorted(seen, key=_version):
        if one.uid not in known:
            known.add(one.uid)
            told[roles.of_uid[one.object["involvedObject"]["uid"]]].append(event_text(one.object))
    return dict(told)


def event_text(event: Mapping[str, Any]) -> str:
    """Say what an event says: reason, type, component, and what its annotations are."""
    annotations = event["metadata"].get("annotations") or {}
    component = event.get("reportingComponent") or (event.get("source") or {}).get("component")
    words = [event["reason"], event["type"], f"from {component}"]
    if annotations:
        words.append(f"with {', '.join(sorted(annotations))}")
    if ACTION in annotations:
        words.append(f"for {annotations[ACTION]} of {annotations.get('num-evicted-pods')}")
    return " ".join(words)


def _words(seen: Sequence[Sighting], roles: Roles) -> dict[str, frozenset[str]]:
    said = defaultdict[str, set[str]](set)
    for one in seen:
        for what, text in _said(one):
            if what.startswith(("Pod ", "PodGroup ")):
                said[what].add(re.sub(r"\b\d+s\b", "<seconds>", roles.plain(text or "")))
    return {what: frozenset(texts) for what, texts in said.items()}


def _said(one: Sighting) -> Iterator[tuple[str, str | None]]:
    if one.kind == "Event":
        yield (
            f"{one.object['involvedObject']['kind']} {one.object['reason']}",
            one.object.get("message"),
        )
        return
    status = one.object.get("status") or {}
    for form in ("conditions", "schedulingConditions"):
        for condition in status.get(form) or ():
            yield f"{one.kind} {condition['type']}", condition.get("message")


def _exchanges(
    entries: Sequence[Entry], roles: Roles
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return the outcomes of commands and of streams; one that follows itself stands once."""
    asked: dict[int, Request] = {}
    commands, streams = defaultdict[str, list[str]](list), defaultdict[str, list[str]](list)
    for entry in entries:
        if isinstance(entry, Request):
            asked[entry.id] = entry
        elif not isinstance(entry, Truth):
            request, outcome = asked[entry.id], _outcome(entry, roles)
            mirror = re.search("limit=500|watch=true", request.path)
            outcomes = (
                streams[_collection(request)] if mirror else commands[_command(request, roles)]
            )
            if outcome and outcome not in outcomes[-1:]:
                outcomes.append(outcome)
    return dict(commands), dict(streams)


def _collection(request: Request) -> str:
    return f"{request.user}: {urlsplit(request.path).path}"


def _command(request: Request, roles: Roles) -> str:
    parts = urlsplit(request.path)
    query = re.sub(r"resourceVersion=\d+", "resourceVersion=…", unquote(parts.query))
    return roles.plain(f"{request.user}: {request.method} {parts.path}?{query}".removesuffix("?"))


def _outcome(entry: Answer | Line | End, roles: Roles) -> str:
    if isinstance(entry, Answer):
        if entry.status >= 400:
            return roles.plain(f"{entry.status} {_refusal(entry.body)}")
        if isinstance(entry.body, str):
            return f"{entry.status} {_log(entry.body)}"
        return str(entry.status)
    if isinstance(entry, End):
        return "" if entry.end == "closed by client" else entry.end
    if isinstance(entry.line, str):
        return _log(entry.line)
    if entry.line.type == "ERROR":
        return f"ERROR {entry.line.object.get('code')} {entry.line.object.get('reason')}"
    return ""


def _refusal(body: Any) -> str:
    if not isinstance(body, dict):
        return str(body)
    return f"{body.get('reason')}: {re.sub('[0-9]+ .[0-9]+.', '…', str(body.get('message')))}"


def _log(text: str) -> str:
    """Return the kinds of lines of a log, each once: a time stamp, then words; numbers count."""
    kinds = (re.sub(r"\d+", "#", line.partition(" ")[2]) for line in text.splitlines())
    return ", ".join(dict.fromkeys(kind for kind in kinds if kind != SHELL_SAYS))
