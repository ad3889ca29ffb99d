"""
The comparison lets pass what chance decides, and tells apart whatever a wrong stand-in could show.
"""

from __future__ import annotations

import copy
import dataclasses
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import recordings
from tests.recording_forms import Answer, Entry, Line
from tests.referee.another_day import another_day
from tests.referee.comparing import differences
from tests.referee.facts import facts_of

CONDITION = "kai/09-reclaim-eviction-condition"
RECLAIM = "kai/08-reclaim-and-resume"
GANG = "kai-jobset/gang-reclaimed-and-resumed"
QUEUE = "kai/16-unknown-queue-then-fixed"

Object = dict[str, Any]


def entries_of(name: str) -> list[Entry]:
    return copy.deepcopy(recordings.named(name).entries)


def told_apart(name: str, live: list[Entry]) -> list[str]:
    return differences(facts_of(recordings.named(name).entries), facts_of(live))


def objects(entries: list[Entry], kind: str) -> Iterator[Object]:
    """Every object of a kind, wherever it is shown; the list's own items, so that a change is a change."""
    for entry in entries:
        if (
            isinstance(entry, Line)
            and not isinstance(entry.line, str)
            and entry.line.object.get("kind") == kind
        ):
            yield entry.line.object
        if isinstance(entry, Answer) and isinstance(entry.body, dict):
            body = entry.body
            yield from body.get("items") or () if body.get("kind") == f"{kind}List" else ()
            yield from (body,) if body.get("kind") == kind else ()


def events(entries: list[Entry], reason: str) -> Iterator[Object]:
    return (event for event in objects(entries, "Event") if event["reason"] == reason)


def without(entries: list[Entry], unwanted: Callable[[Object], bool]) -> None:
    """Take watch lines and listed items away."""
    for entry in list(entries):
        if (
            isinstance(entry, Line)
            and not isinstance(entry.line, str)
            and unwanted(entry.line.object)
        ):
            entries.remove(entry)
        if isinstance(entry, Answer) and isinstance(entry.body, dict) and "items" in entry.body:
            entry.body["items"] = [item for item in entry.body["items"] if not unwanted(item)]


@pytest.mark.slow
@pytest.mark.parametrize("name", recordings.names())
def test_every_recording_agrees_with_itself(name: str) -> None:
    assert told_apart(name, entries_of(name)) == []


@pytest.mark.slow
@pytest.mark.parametrize("name", recordings.names())
def test_names_uids_and_times_do_not_matter(name: str, tmp_path: Path) -> None:
    live = another_day(name, tmp_path).entries
    assert live != entries_of(name)
    assert told_apart(name, live) == []


@pytest.mark.parametrize("name", [RECLAIM, CONDITION, GANG])
def test_another_story_is_another_story(name: str) -> None:
    assert len(told_apart(name, entries_of(QUEUE))) > 5


def of_pod(number: int, entries: list[Entry]) -> Iterator[Object]:
    """The states of the n-th pod that appears."""
    uids = list(dict.fromkeys(pod["metadata"]["uid"] for pod in objects(entries, "Pod")))
    return (pod for pod in objects(entries, "Pod") if pod["metadata"]["uid"] == uids[number - 1])


def lose_condition(entries: list[Entry]) -> None:
    for pod in objects(entries, "Pod"):
        conditions = pod["status"].get("conditions", [])
        pod["status"]["conditions"] = [
            one for one in conditions if one["type"] != "DisruptionTarget"
        ]


def mark_too_late(entries: list[Entry]) -> None:
    for pod in of_pod(1, entries):
        if pod["status"]["phase"] != "Failed":
            conditions = pod["status"].get("conditions", [])
            pod["status"]["conditions"] = [
                one for one in conditions if one["type"] != "DisruptionTarget"
            ]


def lose_finalizer_early(entries: list[Entry]) -> None:
    for pod in of_pod(1, entries):
        if "deletionTimestamp" in pod["metadata"]:
            pod["metadata"].pop("finalizers", None)


def end_with(code: int) -> Callable[[list[Entry]], None]:
    def harm(entries: list[Entry]) -> None:
        for pod in of_pod(1, entries):
            for status in pod["status"].get("containerStatuses", []):
                if "terminated" in status["state"]:
                    status["state"]["terminated"]["exitCode"] = code

    return harm


def warn(entries: list[Entry]) -> None:
    for event in events(entries, "Evict"):
        event["type"] = "Warning"


def lose_action(entries: list[Entry]) -> None:
    for event in events(entries, "Evict"):
        del event["metadata"]["annotations"]["evictor-action-type"]


def preempt(entries: list[Entry]) -> None:
    for event in events(entries, "Evict"):
        event["metadata"]["annotations"]["evictor-action-type"] = "preempt"


def reword(entries: list[Entry]) -> None:
    for event in events(entries, "Evict"):
        event["message"] = "evicted"


def evict_twice(entries: list[Entry]) -> None:
    place, line = next(
        (place, entry)
        for place, entry in enumerate(entries)
        if isinstance(entry, Line)
        and not isinstance(entry.line, str)
        and entry.line.object.get("reason") == "Evict"
    )
    again = copy.deepcopy(line)
    assert not isinstance(again.line, str)
    again.line.object["metadata"]["uid"] = str(uuid.UUID(int=1))
    entries.insert(place + 1, again)


def no_event(reason: str) -> Callable[[list[Entry]], None]:
    return lambda entries: without(entries, lambda found: found.get("reason") == reason)


def alone(entries: list[Entry]) -> None:
    for group in objects(entries, "PodGroup"):
        group["spec"]["minMember"] = 1


def keep_grace(entries: list[Entry]) -> None:
    for pod in of_pod(1, entries):
        if pod["metadata"].get("deletionGracePeriodSeconds") == 0:
            pod["metadata"]["deletionGracePeriodSeconds"] = 5


def no_second_pod(entries: list[Entry]) -> None:
    second = next(of_pod(2, entries))["metadata"]["uid"]
    without(entries, lambda found: found["metadata"].get("uid") == second)


def other_reason(entries: list[Entry]) -> None:
    for group in objects(entries, "PodGroup"):
        for condition in group.get("status", {}).get("schedulingConditions", []):
            condition["reasons"] = [{"reason": "PodSchedulingErrors"}]


def answer_not_found_with(status: int) -> Callable[[list[Entry]], None]:
    def harm(entries: list[Entry]) -> None:
        entries[:] = [
            dataclasses.replace(entry, status=status)
            if isinstance(entry, Answer) and entry.status == 404
            else entry
            for entry in entries
        ]

    return harm


def is_line(entry: Entry, words: str) -> bool:
    return isinstance(entry, Line) and words in str(entry.line)


def forget_nothing(entries: list[Entry]) -> None:
    entries[:] = [entry for entry in entries if not is_line(entry, "type='ERROR'")]


def silence(entries: list[Entry]) -> None:
    entries[:] = [entry for entry in entries if not is_line(entry, "got SIGTERM")]


def ungroup(entries: list[Entry]) -> None:
    for pod in objects(entries, "Pod"):
        pod["metadata"].get("annotations", {}).pop("pod-group-name", None)


def foreign_owner(entries: list[Entry]) -> None:
    for group in objects(entries, "PodGroup"):
        group["metadata"]["ownerReferences"][0]["kind"] = "Pod"


WRONG: dict[str, tuple[str, Callable[[list[Entry]], None], str]] = {
    "a condition is missing": (
        CONDITION,
        lose_condition,
        "condition DisruptionTarget: True PreemptionByScheduler in",
    ),
    "a condition comes too late": (
        CONDITION,
        mark_too_late,
        "True PreemptionByScheduler came before deletion with a",
    ),
    "a finalizer goes before the end": (
        RECLAIM,
        lose_finalizer_early,
        "finalizer batch.kubernetes.io/job-tracking: ",
    ),
    "a wrong exit code": (
        RECLAIM,
        end_with(137),
        "terminated Error 143 in the recording, running → terminated Error 1",
    ),
    "an event of a wrong type": (RECLAIM, warn, "Evict Warning"),
    "an annotation is missing": (
        RECLAIM,
        lose_action,
        "Evict Normal from kai-scheduler with evictor-pod-group-name",
    ),
    "another action": (RECLAIM, preempt, "for preempt of 1"),
    "an eviction too many": (RECLAIM, evict_twice, "of 1', 'Evict"),
    "an eviction in other words": (
        RECLAIM,
        reword,
        "PodGroup Evict: words ['Pod team-b/nightly-bert-8 #1 was preempt",
    ),
    "no Evict event": (RECLAIM, no_event("Evict"), "None on the rig"),
    "no Killing event": (
        RECLAIM,
        no_event("Killing"),
        "'Killing Normal from kubelet'] in the recording",
    ),
    "no noise": (RECLAIM, no_event("PodGrouperWarning"), "nobody had the event PodGrouperWarning"),
    "no word about the queue": (QUEUE, no_event("Unschedulable"), "Unschedulable"),
    "another reason in the queue": (
        QUEUE,
        other_reason,
        "QueueDoesNotExist in the recording, True Unschedulable PodS",
    ),
    "a gang of one": (GANG, alone, "minMember: 2 in the recording, 1 on the rig"),
    "a gang that belongs to nobody": (
        GANG,
        foreign_owner,
        "owner: JobSet nightly-gang-3 in the recording, Pod nightl",
    ),
    "a grace that never ends": (
        RECLAIM,
        keep_grace,
        "deletion: with a grace of 5 s → with a grace of 0 s in the",
    ),
    "no second pod": (RECLAIM, no_second_pod, "Pod nightly-bert-8 #2: seen only in the recording"),
    "a pod without its group": (
        RECLAIM,
        ungroup,
        "annotation pod-group-name: pg-nightly-bert-8 #1 in the recording,  ",
    ),
    "something found that is not": (QUEUE, answer_not_found_with(403), "404 NotFound"),
    "a history that is never lost": (
        "kai/18-watch-410-in-preemption",
        forget_nothing,
        "ERROR 410 Expired",
    ),
    "a training that gets no SIGTERM": (
        "kai/20-log-follow-over-preemption",
        silence,
        "got SIGTERM",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_stand_in_is_told_apart(wrong: str) -> None:
    name, harm, complaint = WRONG[wrong]
    live = entries_of(name)
    harm(live)
    assert complaint in "\n".join(told_apart(name, live))


def merge_states(entries: list[Entry]) -> None:
    """Let the client miss that a container was being created, and that the Job counted an end."""
    passing = ("ContainerCreating", "'uncountedTerminatedPods': {'failed'")
    without(entries, lambda found: any(words in str(found.get("status")) for words in passing))


def repeat_noise(entries: list[Entry]) -> None:
    lines = [
        line for line in entries if isinstance(line, Line) and is_line(line, "PodGrouperWarning")
    ]
    for number, line in enumerate(lines):
        again = copy.deepcopy(line)
        assert not isinstance(again.line, str)
        again.line.object["metadata"]["uid"] = str(uuid.UUID(int=number))
        entries.insert(entries.index(line), again)


def see_twice(entries: list[Entry]) -> None:
    for line in [entry for entry in entries if isinstance(entry, Line)]:
        entries.insert(entries.index(line), line)


@pytest.mark.slow
@pytest.mark.parametrize("chance", [merge_states, repeat_noise, see_twice])
@pytest.mark.parametrize("name", [RECLAIM, CONDITION, GANG])
def test_what_chance_decides_passes(name: str, chance: Callable[[list[Entry]], None]) -> None:
    live = entries_of(name)
    chance(live)
    assert live != entries_of(name)
    assert told_apart(name, live) == []


def test_what_the_shell_says_about_its_sleep_is_no_fact() -> None:
    live = entries_of("kai/20-log-follow-over-preemption")
    lines = [entry for entry in live if is_line(entry, " Terminated")]
    assert lines
    assert (
        told_apart(
            "kai/20-log-follow-over-preemption", [entry for entry in live if entry not in lines]
        )
        == []
    )
