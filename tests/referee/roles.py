"""
Roles instead of names and uids: `Pod nightly-bert-8 #2` is the second pod of that Job, whatever it is called today.

A role is the kind, the name without what was generated, and a number in order of appearance. So two
runs of the same story speak of the same roles.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from tests.recording_checks import Sighting

UID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
TOKEN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?")
#: Five letters and digits as Kubernetes draws them (no vowels); Kueue's Workloads end with a hash
#: of the uid.
DRAWN = re.compile(r"-[bcdfghjklmnpqrstvwxz2456789]{5}$")
HASH = re.compile(r"-[0-9a-f]{5}$")


@dataclass(frozen=True)
class Appearance:
    """Who appeared when; versions are one counter for the whole cluster."""

    version: int
    kind: str
    uid: str
    name: str


class Roles:
    """The roles of all that a client saw or was told of."""

    def __init__(self, seen: Sequence[Sighting]) -> None:
        numbers = defaultdict[str, int](int)
        self.of_uid: dict[str, str] = {}
        self._of_name: dict[str, str] = {}
        self._players: dict[str, Appearance] = {}
        for one in sorted(_appearances(seen), key=lambda one: one.version):
            if one.uid in self.of_uid:
                continue
            stem = f"{one.kind} {stem_of(one.kind, one.name)}"
            numbers[stem] += 1
            self.of_uid[one.uid] = f"{stem} #{numbers[stem]}"
            self._players[self.of_uid[one.uid]] = one
            if one.name != stem_of(one.kind, one.name):
                self._of_name[one.name] = f"{stem_of(one.kind, one.name)} #{numbers[stem]}"

    def plain(self, text: str) -> str:
        """Put roles for names and uids into a text, and nothing for times."""
        return TOKEN.sub(lambda found: self._role(found[0]), TIME.sub("<time>", text))

    def recast(self, text: str, others: Roles) -> str:
        """Put the names and uids of others, in the same roles, for ours into a text."""
        words: dict[str, str] = {}
        for role in self._players.keys() & others._players.keys():
            ours, theirs = self._players[role], others._players[role]
            words |= {ours.uid: theirs.uid, ours.name: theirs.name}
        return TOKEN.sub(lambda found: words.get(found[0], found[0]), text)

    def _role(self, word: str) -> str:
        if word in self.of_uid:
            return f"<{self.of_uid[word]}>"
        if word in self._of_name:
            return self._of_name[word]
        stem = stem_of("", UID.sub("<uid>", word))  # of somebody whom the client never saw
        return word if stem == word else f"{stem} #?"


def stem_of(kind: str, name: str) -> str:
    """Take what was generated from a name."""
    name = re.sub(f"-({UID.pattern}|<uid>)$", "", name)
    return (HASH if kind == "Workload" else DRAWN).sub("", name)


def _appearances(seen: Iterable[Sighting]) -> Iterable[Appearance]:
    for one in seen:
        version = int(one.object["metadata"]["resourceVersion"])
        if one.kind != "Event":
            yield Appearance(version, one.kind, one.uid, one.name)
            continue
        about: dict[str, Any] = one.object["involvedObject"]
        yield Appearance(version, about["kind"], about["uid"], about["name"])
