"""
Whether two runs of one story show the same facts.

Pure. For each role, each aspect must go through the same values in the same order, and what came
strictly before something else in one run must not come after it in the other. States may be merged:
then two things come together that came one after the other, which contradicts neither. Values that
only pass, and events that only repeat, may be missing or come more often; the tables below name
them, all else is strict.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TypeAlias

from tests.referee.aspects import State
from tests.referee.facts import Facts

#: An aspect, a value of it, and the how-manieth time.
Milestone: TypeAlias = tuple[str, str, int]

ABSENT = "absent"

#: Kind and aspect → values that the next one subsumes: a client may or may not see them.
PASSING = {
    r"Pod phase": r"Pending",
    r"Pod container .*": r"waiting (ContainerCreating|PodInitializing)",
    r"Pod condition (Ready|ContainersReady)": r"False ContainersNotReady",
    r"Pod finalizer foregroundDeletion": r".*",  # of a Job that goes: who deletes its pods first, decides
    r"Job (active|ready|terminating|uncounted .*)": r".*",
    r"JobSet .* of .*": r".*",
    r"PodGroup (allocated|requested)": rf"{ABSENT}|.* for a part of the gang",
    r"Workload (deletion|finalizer .*)": rf"with .*|{ABSENT}",  # of a Job that goes: its collector, or Kueue, is first
}
#: Pairs of kind and aspect whose order is decided by two writers who do not know of each other.
UNORDERED = (
    # KAI's binder and the kubelet.
    (r"Pod condition PodBound: .*", r"Pod (condition|container|phase|restarts|reason).*"),
    # The Job controller, which gives a pod up and deletes it, and the end of a container that obeys
    # at once. (Who is evicted keeps the finalizer to the end; that is seen by its values.)
    (
        r"Pod finalizer batch.kubernetes.io/job-tracking: absent",
        r"Pod (deletion: .*|container .*: terminated Error 143)",
    ),
    # The Job controller and the garbage collector, which orphans.
    (r"Pod finalizer batch.kubernetes.io/job-tracking: absent", r"Pod owner: absent"),
    # The JobSet controller deletes a Job as soon as one end is enough for it.
    (r"Job (deletion|finalizer).*", r"Job (condition|failed|succeeded).*"),
    # Kueue, which suspends, and the Job controller.
    (r"Job startTime: absent", r"Job condition Suspended: .*"),
    # KAI's pod group controller and its scheduler.
    (r"PodGroup (allocated|requested): .*", r"PodGroup scheduling condition.*"),
)
#: What an object has from its birth, or what somebody copies from elsewhere: when says nothing.
TIMELESS = r"(label|annotation) .*"
#: Reasons of events that are said again and again as long as something lasts.
REPEATED = re.compile(
    r"(Unschedulable|NotReady|StaleJob|Pipelined|FailedScheduling|FailedCreate|Pending|BackOff|Failed) "
)
#: Those that a race decides: anywhere in the scene is enough, and more is no harm.
CHANCE = re.compile(r"(PodGrouperWarning|NotReady) ")
#: How a stream ends when its API server does.
BROKEN = "broken: ClientPayloadError"


def differences(recorded: Facts, live: Facts) -> list[str]:
    """Say all that differs; empty if both runs show the same."""
    return [
        *_objects(recorded.objects, live.objects),
        *_events(recorded.events, live.events),
        *_words(recorded.words, live.words),
        *_outcomes(recorded.commands, live.commands),
        *_outcomes(_settled(recorded.streams), _settled(live.streams)),
    ]


def _matches(table: Mapping[str, str], place: str) -> str | None:
    return next((values for places, values in table.items() if re.fullmatch(places, place)), None)


def _both(recorded: Iterable[str], live: Iterable[str], what: str) -> Iterator[str]:
    for role in sorted(set(recorded) - set(live)):
        yield f"{role}: {what} only in the recording"
    for role in sorted(set(live) - set(recorded)):
        yield f"{role}: {what} only on the rig"


def _objects(
    recorded: Mapping[str, Sequence[State]], live: Mapping[str, Sequence[State]]
) -> Iterator[str]:
    yield from _both(recorded, live, "seen")
    for role in sorted(recorded.keys() & live.keys()):
        yield from _values(role, recorded[role], live[role])
        yield from _order(role, recorded[role], live[role])


def _values(role: str, recorded: Sequence[State], live: Sequence[State]) -> Iterator[str]:
    kind = role.split()[0]
    for aspect in sorted({aspect for state in (*recorded, *live) for aspect in state}):
        passing = _matches(PASSING, f"{kind} {aspect}")
        one, other = (
            _course(
                [state.get(aspect, ABSENT) for state in states], passing, gone="gone" in states[-1]
            )
            for states in (recorded, live)
        )
        if one != other:
            yield f"{role}: {aspect}: {' → '.join(one)} in the recording, {' → '.join(other)} on the rig"


def _course(values: Sequence[str], passing: str | None = None, gone: bool = False) -> list[str]:
    """Return the distinct values in order, without what only passes; what stays to the end did not pass."""
    course: list[str] = []
    for place, value in enumerate(values):
        passes = passing and re.fullmatch(passing, value) and (gone or place < len(values) - 1)
        if not passes and value not in course[-1:] and (course or value != ABSENT):
            course.append(value)
    return course


def _order(role: str, recorded: Sequence[State], live: Sequence[State]) -> Iterator[str]:
    one, other = _milestones(role, recorded), _milestones(role, live)
    for a, b in combinations(sorted(one.keys() & other.keys()), 2):
        if (one[a] - one[b]) * (other[a] - other[b]) < 0 and not _unordered(role, a, b):
            first, second = (a, b) if one[a] < one[b] else (b, a)
            yield f"{role}: {_text(first)} came before {_text(second)} in the recording, after it on the rig"


def _milestones(role: str, states: Sequence[State]) -> dict[Milestone, int]:
    """Return in which state each value of each aspect came."""
    kind = role.split()[0]
    found: dict[Milestone, int] = {}
    times = defaultdict[tuple[str, str], int](int)
    before: State = {}
    for place, state in enumerate(states):
        for aspect in before.keys() | state.keys():
            value = state.get(aspect, ABSENT)
            passing = _matches(PASSING, f"{kind} {aspect}")
            if value == before.get(aspect, ABSENT) or re.fullmatch(TIMELESS, aspect):
                continue
            if passing and re.fullmatch(passing, value):
                continue
            times[aspect, value] += 1
            found[aspect, value, times[aspect, value]] = place
        before = state
    return found


def _unordered(role: str, a: Milestone, b: Milestone) -> bool:
    kind = role.split()[0]
    texts = f"{kind} {a[0]}: {a[1]}", f"{kind} {b[0]}: {b[1]}"
    return any(
        re.fullmatch(one, first) and re.fullmatch(other, second)
        for one, other in UNORDERED
        for first, second in (texts, texts[::-1])
    )


def _text(milestone: Milestone) -> str:
    return f"{milestone[0]} {milestone[1]}"


def _events(
    recorded: Mapping[str, Sequence[str]], live: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for role in sorted(recorded.keys() | live.keys()):
        one, other = (_by_component(events.get(role, ())) for events in (recorded, live))
        for component in sorted(one.keys() | other.keys()):
            if one.get(component) != other.get(component):
                yield f"{role}: events {one.get(component)} in the recording, {other.get(component)} on the rig"
    chances = (
        {text for texts in events.values() for text in texts if CHANCE.match(text)}
        for events in (recorded, live)
    )
    one_chance, other_chance = chances
    yield from (
        f"nobody had the event {text} on the rig" for text in sorted(one_chance - other_chance)
    )


def _by_component(events: Sequence[str]) -> dict[str, list[str]]:
    told = defaultdict[str, list[str]](list)
    for text in events:
        component = text.split(" from ")[1].split()[0]
        if not CHANCE.match(text) and not (REPEATED.match(text) and text in told[component]):
            told[component].append(text)
    return {component: texts for component, texts in told.items() if texts}


def _words(
    recorded: Mapping[str, frozenset[str]], live: Mapping[str, frozenset[str]]
) -> Iterator[str]:
    for said in sorted(recorded.keys() | live.keys()):
        one, other = recorded.get(said, frozenset()), live.get(said, frozenset())
        if one != other and not CHANCE.match(f"{said.split()[-1]} "):
            yield f"{said}: words {sorted(one - other)} only in the recording, {sorted(other - one)} only on the rig"


def _settled(streams: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """Leave out what comes between a break and the end: while a server comes back, chance decides what it answers."""
    return {
        collection: [*outcomes[: outcomes.index(BROKEN) + 1], outcomes[-1]]
        if BROKEN in outcomes
        else [*outcomes]
        for collection, outcomes in streams.items()
    }


def _outcomes(
    recorded: Mapping[str, Sequence[str]], live: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    for asked in sorted(recorded.keys() | live.keys()):
        one, other = recorded.get(asked, ()), live.get(asked, ())
        if one != other:
            yield f"{asked}: {' → '.join(one)} in the recording, {' → '.join(other)} on the rig"
