"""Every recording is understood by the code of production, whatever is left out that a client never saw."""

from __future__ import annotations

import json
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from tests import recordings, replay
from tests.recording_forms import Label

NAMES = recordings.names()


@cache
def lines(name: str) -> tuple[replay.Json, ...]:
    return tuple(replay.entries_of(recordings.FOLDER / f"{name}.jsonl.xz"))


@cache
def whole(name: str) -> str:
    return json.dumps(replay.readings(lines(name)), sort_keys=True)


def differences(label: Label, found: Any) -> Iterator[str]:
    """Say where a reading is not what really happened; as `judge.py` of the recordings does."""
    if found["final"] != label.final:
        yield f"final {found['final']}, not {label.final}"
    if found["failures_to_charge"] != label.failures_to_charge:
        yield f"{found['failures_to_charge']} failures, not {label.failures_to_charge}"
    read = {one["pod_uid"]: one for one in found["incarnations"]}
    for real in label.incarnations:
        one = read.pop(real.pod_uid, None)
        if one is None:
            if real.visible:
                yield f"{real.pod} is missing"
            continue
        if one["ended"] not in (real.ended, real.readable_as or real.ended):
            yield f"{real.pod} {one['ended']}, not {real.ended}"
        is_named = one["ended"] == "preempted" and real.evict_event
        if is_named and one["by"] != real.by:
            yield f"{real.pod} by {one['by']}, not {real.by}"
        if one["exit_code"] not in {
            real.exit_code,
            real.exit_code if real.exit_code_seen else None,
        }:
            yield f"{real.pod} exit code {one['exit_code']}, not {real.exit_code}"
    yield from (f"{uid} is none of its pods" for uid in read)


@pytest.mark.parametrize("name", NAMES)
def test_a_recording_is_read_as_it_really_was(name: str) -> None:
    found = {one["uid"]: one for one in json.loads(whole(name))}
    labels = {label.uid: label for label in recordings.named(name).labels}
    assert found.keys() == labels.keys()
    assert [text for uid, label in labels.items() for text in differences(label, found[uid])] == []


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_read_of_what_the_client_could_not_see(name: str) -> None:
    shown = [entry for entry in lines(name) if not entry.keys() & {"truth", "truth_final"}]
    assert len(shown) < len(lines(name))
    blind = [{**shown[0], "scenario": "", "about": ""}, *shown[1:]]
    assert json.dumps(replay.readings(blind), sort_keys=True) == whole(name)


@pytest.mark.parametrize("name", NAMES)
def test_streams_may_come_in_any_order_and_say_everything_twice(name: str) -> None:
    dice = random.Random(name)
    for _ in range(2):
        mixed = interleaved(dice, lines(name)[1:])
        assert sorted_readings([lines(name)[0], *mixed]) == sorted_readings(lines(name))


@pytest.mark.parametrize("name", [one for one in NAMES if "kai" in one])
def test_without_any_event_final_and_charges_are_the_same(name: str) -> None:
    mute = [entry for entry in lines(name) if not is_event(entry)]
    for known, found in zip(json.loads(whole(name)), replay.readings(mute), strict=True):
        for key in ("uid", "final", "failures_to_charge"):
            assert found[key] == known[key]
        for before, after in zip(known["incarnations"], found["incarnations"], strict=True):
            assert after["ended"] in {before["ended"], "removed"}
            assert after["exit_code"] == before["exit_code"]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_a_gap_costs_details_and_never_the_truth(name: str) -> None:
    dice = random.Random(name)
    truth = {label.uid: label for label in recordings.named(name).labels}
    times = [entry["t"] for entry in lines(name) if "line" in entry]
    for _ in range(2 if times else 0):
        begin, end = sorted(dice.choices(times, k=2))
        for found in replay.readings(with_gap(lines(name), begin, end)):
            label = truth[found["uid"]]
            real = {one.pod_uid: one for one in label.incarnations}
            for one in found["incarnations"]:
                is_own = one["ended"] in ("succeeded", "failed", "infrastructure", "deadline")
                assert not is_own or one["ended"] == real[one["pod_uid"]].ended
                assert one["exit_code"] in (real[one["pod_uid"]].exit_code, None)
            assert found["failures_to_charge"] <= label.failures_to_charge
            is_whole = {one["pod_uid"] for one in found["incarnations"]} >= real.keys()
            # What nobody saw end by itself is no success, though it was one.
            doubted = [one for one in found["incarnations"] if one["ended"] == "removed"]
            allowed = {label.final, "deleted", *(["failed"] if doubted else [])}
            assert found["final"] in allowed or not is_whole


def with_gap(entries: Sequence[replay.Json], begin: float, end: float) -> list[replay.Json]:
    """Leave out what watches said in between, and list anew what they watch."""
    watches = {
        entry["id"]: entry["path"] for entry in entries if "watch=true" in entry.get("path", "")
    }
    stores: defaultdict[str, dict[str, Any]] = defaultdict(dict)
    version, heard = 0, list[replay.Json]()
    for entry in entries:
        path = watches.get(entry.get("id", 0))
        if "line" in entry and path:
            found = entry["line"]["object"]
            if entry["t"] < end and entry["line"]["type"] in ("ADDED", "MODIFIED", "DELETED"):
                version = max(version, int(found["metadata"]["resourceVersion"]))
                stores[path.partition("?")[0]].pop(found["metadata"]["uid"], None)
                if entry["line"]["type"] != "DELETED":
                    stores[path.partition("?")[0]][found["metadata"]["uid"]] = found
            if begin <= entry["t"] < end:
                continue
        if entry.get("t", 0) >= end:
            heard += relists(stores, version, end)
            stores.clear()
        heard.append(entry)
    return heard


def relists(stores: Any, version: int, at: float) -> Iterator[replay.Json]:
    for number, (path, store) in enumerate(list(stores.items()), start=1000):
        body = {"metadata": {"resourceVersion": str(version)}, "items": list(store.values())}
        yield {"t": at, "id": number, "method": "GET", "path": f"{path}?limit=500"}
        yield {"t": at, "id": number, "status": 200, "body": body}


def is_event(entry: replay.Json) -> bool:
    line = entry.get("line")
    return isinstance(line, dict) and line["object"].get("kind") == "Event"


def sorted_readings(entries: Sequence[replay.Json]) -> list[Any]:
    return sorted(replay.readings(entries), key=lambda one: str(one["uid"]))


def interleaved(dice: random.Random, entries: Sequence[replay.Json]) -> list[replay.Json]:
    """Mix the exchanges of a conversation; each keeps its own order. Lines are said twice."""
    exchanges: defaultdict[int, list[replay.Json]] = defaultdict(list)
    for entry in entries:
        if "id" in entry:
            exchanges[entry["id"]] += [entry] * (2 if "line" in entry else 1)
    order = [number for number, said in exchanges.items() for _ in said]
    dice.shuffle(order)
    queues = {number: iter(said) for number, said in exchanges.items()}
    return [next(queues[number]) for number in order]


CREATED, NAME = "kai/01-submit-run-succeed", "nightly-bert-1"


def told_of_create(change: str) -> list[replay.Json]:
    """Tell the first recording's create otherwise, and let the client look at the Job."""
    entries: list[Any] = [dict(entry) for entry in lines(CREATED)]
    post = next(entry for entry in entries if entry.get("method") == "POST")
    reply = next(entry for entry in entries if entry.get("id") == post["id"] and "status" in entry)
    if change == "lost":
        del reply["status"], reply["body"]
        reply["end"] = "broken: ClientPayloadError"
    else:
        reply |= {
            "status": 409,
            "body": {"kind": "Status", "reason": "AlreadyExists", "metadata": {}},
        }
    if change == "another":
        container = {"name": "main", "image": "somebody/else:1"}
        post["body"] = {**post["body"], "spec": {"template": {"spec": {"containers": [container]}}}}
    if change in ("earlier", "only watched"):
        entries.remove(post)
        entries.remove(reply)
    if change == "only watched":
        looks = [entry["id"] for entry in entries if f"/jobs/{NAME}" in entry.get("path", "")]
        entries = [entry for entry in entries if entry.get("id") not in looks]
    return entries


@pytest.mark.parametrize("change", ["lost", "there already", "earlier", "only watched"])
def test_what_the_client_finds_of_its_own_is_its_own(change: str) -> None:
    assert replay.readings(told_of_create(change)) == json.loads(whole(CREATED))


def test_what_a_list_shows_before_the_name_is_taken_is_its_own() -> None:
    entries = told_of_create("there already")
    first = next(one for one in entries if "line" in one and one["line"]["object"]["kind"] == "Job")
    found = first["line"]["object"]
    item = {key: found[key] for key in found.keys() - {"kind", "apiVersion"}}
    body = {"kind": "JobList", "metadata": {"resourceVersion": "1"}, "items": [item]}
    path = f"/apis/batch/v1/namespaces/{found['metadata']['namespace']}/jobs?limit=500"
    listed = [
        {"t": 0.0, "id": 1000, "method": "GET", "path": path},
        {"t": 0.0, "id": 1000, "status": 200, "body": body},
    ]
    assert replay.readings([entries[0], *listed, *entries[1:]]) == json.loads(whole(CREATED))


def test_what_somebody_else_has_made_under_the_name_is_not() -> None:
    assert replay.readings(told_of_create("another")) == []


def test_a_dry_run_makes_nothing() -> None:
    entries: list[Any] = [dict(entry) for entry in lines(CREATED)]
    (post,) = (entry for entry in entries if entry.get("method") == "POST")
    post["path"] += "&dryRun=All"
    alone = [entry for entry in entries if "clock" in entry or entry.get("id") == post["id"]]
    assert replay.readings(alone) == []


def test_a_list_in_pages_is_one_list() -> None:
    path, header = "/api/v1/namespaces/team-a/pods", {"clock": "2026-01-01T00:00:00Z"}
    pods = [{"metadata": {"uid": str(n), "resourceVersion": "5"}} for n in range(3)]
    pages = [
        ({"resourceVersion": "9", "continue": "more"}, pods[:2]),
        ({"resourceVersion": "9"}, pods[2:]),
    ]
    entries: list[replay.Json] = [header]
    for number, (metadata, items) in enumerate(pages):
        query = "limit=2&continue=more" if number else "limit=2"
        entries.append({"t": 1.0, "id": number, "method": "GET", "path": f"{path}?{query}"})
        body = {"kind": "PodList", "metadata": metadata, "items": items}
        entries.append({"t": 1.0, "id": number, "status": 200, "body": body})
        assert replay.replayed(entries).mirror.through("Pod") == (9 if number else 0)


def test_packed_and_unpacked_files_are_read_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "kai/26-wrong-token"
    plain = tmp_path / "plain.jsonl"
    plain.write_text("".join(f"{json.dumps(entry)}\n" for entry in lines(name)))
    packed = recordings.FOLDER / f"{name}.jsonl.xz"
    assert replay.main([str(plain), str(packed)]) == 0
    first, second = map(json.loads, capsys.readouterr().out.splitlines())
    assert (first["file"], second["file"]) == (str(plain), str(packed))
    assert first["jobs"] == second["jobs"] == json.loads(whole(name))


@pytest.mark.parametrize("arguments", [[], ["nowhere.jsonl"], [__file__]])
def test_misuse_ends_with_2_and_a_reason(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        replay.main(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err
