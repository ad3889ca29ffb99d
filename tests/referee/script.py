"""
What the client of a recording did, to be done again: what it listed and watched, and its commands in order.

Pure. Commands name pods and uids of that day; a command is recast for today before it is said.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import unquote

from tests.recording_checks import sightings
from tests.recording_forms import Answer, Entry, Recording, Request
from tests.referee.roles import Roles


def listings(recording: Recording) -> list[str]:
    """
    Return the paths of what the client mirrored, or would have if it had been allowed to, in order.
    """
    watched = {
        _collection(one) for one in _requests(recording) if "allowWatchBookmarks" in one.path
    }
    refused = {one.id for one in recording.entries if isinstance(one, Answer) and one.status == 403}
    found = [
        unquote(one.path)
        for one in _requests(recording)
        if "limit=500" in one.path and (_collection(one) in watched or one.id in refused)
    ]
    return list(dict.fromkeys(found))


def commands(recording: Recording) -> list[Request]:
    """Return all other requests, in order, but what followed from the mirror."""
    mirrored, user = listings(recording), recording.header.user
    return [
        one
        for one in _requests(recording)
        if one.user != user
        or (unquote(one.path) not in mirrored and "allowWatchBookmarks" not in one.path)
    ]


def recast(command: Request, recording: Recording, live: Sequence[Entry]) -> Request:
    """Return the command with today's names, uids and versions."""
    then, today = (Roles(list(sightings(entries))) for entries in (recording.entries, live))
    body: Any = json.loads(then.recast(json.dumps(command.body), today))
    if body and "resourceVersion" in body.get("metadata", {}):
        body["metadata"]["resourceVersion"] = _last_version(live)
    return dataclasses.replace(command, path=then.recast(unquote(command.path), today), body=body)


def _collection(request: Request) -> str:
    return request.path.partition("?")[0]


def _requests(recording: Recording) -> list[Request]:
    return [entry for entry in recording.entries if isinstance(entry, Request)]


def _last_version(live: Sequence[Entry]) -> str:
    """
    Return the version of the last object that an answer showed: the client reads before it writes.
    """
    bodies: list[Any] = [
        entry.body for entry in live if isinstance(entry, Answer) and isinstance(entry.body, dict)
    ]
    return str(
        next(body["metadata"]["resourceVersion"] for body in reversed(bodies) if "spec" in body)
    )
