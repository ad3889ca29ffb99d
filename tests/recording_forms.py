"""
What a recording consists of: header, requests, answers, lines, ends, truths and the label at its end.

Forms only: each says which keys, types and words are allowed. `tests/recordings.py` reads files
into them and checks that they agree.
"""

from __future__ import annotations

from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import ConfigDict, Field, NonNegativeFloat, NonNegativeInt, PositiveInt
from pydantic.dataclasses import dataclass

STRICT = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)

Ended = Literal[
    "succeeded", "failed", "preempted", "suspended", "infrastructure", "deadline", "removed"
]
Final = Literal["succeeded", "failed", "deleted"]
Story = Literal["succeeded", "failed", "preempted-and-resumed", "evicted-exit-0", "deleted"]
Method = Literal["GET", "POST", "PATCH", "PUT", "DELETE"]
StreamEnd = Literal[
    "closed by server",
    "closed by client",
    "broken: ClientPayloadError",
    "broken: ClientConnectorError",
]


@dataclass(frozen=True, config=STRICT)
class Header:
    """What was recorded, where and as whom; `clock` is the UTC time of offset 0, the versions name what schedules."""

    scenario: str
    about: str
    kubernetes: str
    clock: datetime
    namespace: str
    user: str
    kai: str | None = None
    jobset: str | None = None
    kueue: str | None = None


@dataclass(frozen=True, config=STRICT)
class Request:
    """A request, `t` seconds after the clock; `id` numbers the exchanges, `user` is the identity behind the token."""

    t: NonNegativeFloat
    id: PositiveInt
    method: Method
    path: Annotated[str, Field(pattern="^/")]
    user: str
    accept: str | None = None
    content_type: str | None = None
    body: Any = None


@dataclass(frozen=True, config=STRICT)
class Answer:
    """An answer: parsed JSON, or text; without a body it is the head of a stream."""

    t: NonNegativeFloat
    id: PositiveInt
    status: Annotated[int, Field(ge=100, le=599)]
    content_type: str | None = None
    retry_after: str | None = None
    body: Any = None


@dataclass(frozen=True, config=STRICT)
class WatchEvent:
    """What a watch says in one line."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK", "ERROR"]
    object: dict[str, Any]


@dataclass(frozen=True, config=STRICT)
class Line:
    """One line of a stream: of a watch, or of a followed log."""

    t: NonNegativeFloat
    id: PositiveInt
    line: WatchEvent | str


@dataclass(frozen=True, config=STRICT)
class End:
    """How a stream ended; a refused connection ends an exchange that never was answered."""

    t: NonNegativeFloat
    id: PositiveInt
    end: StreamEnd


@dataclass(frozen=True, config=ConfigDict(strict=True, extra="ignore"))
class Happening:
    """What somebody did, or what happened to pods; it may say more in words of its own."""

    actor: str | None = None
    did: str | None = None
    what: str | None = None
    by: str | None = None
    reason: str | None = None
    pod_uid: str | None = None
    pod_uids: list[str] = field(default_factory=list)
    job: str | None = None
    namespace: str | None = None
    priority_class: str | None = None


@dataclass(frozen=True, config=STRICT)
class Truth:
    """What really happened; the client could not see it."""

    t: NonNegativeFloat
    truth: Happening


@dataclass(frozen=True, config=STRICT)
class Incarnation:
    """One pod of the training, how it ended and through whom; without an exit code no container ever ended."""

    pod: str
    pod_uid: str
    ended: Ended
    by: str | None
    exit_code: Annotated[int, Field(ge=0, le=255)] | None
    reason: str | None
    attempt: NonNegativeInt | None = None
    readable_as: Ended | None = None
    exit_code_seen: bool = True
    evict_event: bool = True
    visible: bool = True
    note: str | None = None


@dataclass(frozen=True, config=STRICT)
class Label:
    """The truth about one Job or JobSet of the client; its incarnations in order of creation."""

    kind: Literal["Job", "JobSet"]
    name: str
    uid: str
    story: Story
    final: Final
    failures_to_charge: NonNegativeInt
    incarnations: list[Incarnation]
    final_readable_as: Final | None = None


@dataclass(frozen=True, config=STRICT)
class Jobs:
    """The labels of all that the client made or adopted."""

    jobs: Annotated[list[Label], Field(min_length=1)]


@dataclass(frozen=True, config=STRICT)
class Last:
    """The last line."""

    truth_final: Jobs


Said: TypeAlias = Request | Answer | Line | End
Entry: TypeAlias = Said | Truth


@dataclass(frozen=True)
class Recording:
    """One file; `entries[n]` is its line n + 2."""

    path: Path
    header: Header
    entries: list[Entry]
    labels: list[Label]
