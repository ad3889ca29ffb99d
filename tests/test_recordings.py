"""Every recording of the project is right, and no damage to one goes unseen."""

from __future__ import annotations

import json
import lzma
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from tests import recordings
from tests.recording_checks import problems

pytestmark = pytest.mark.slow

SMALL = "kai/26-wrong-token"
EVICTED = "kai/08-reclaim-and-resume"
GANG = "kai-jobset/member-fails-and-set-restarts"
UNSEEN = "kai/25-forbidden-watch"

Lines = list[Any]
Damage = Callable[[Lines], object]


def raw(name: str) -> str:
    return lzma.decompress((recordings.FOLDER / f"{name}.jsonl.xz").read_bytes()).decode()


def lines_of(name: str) -> Lines:
    return [json.loads(line) for line in raw(name).splitlines()]


def written(path: Path, lines: Lines) -> Path:
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return path


def first(lines: Lines, key: str) -> Any:
    return next(line for line in lines if key in line)


def label(lines: Lines) -> Any:
    return lines[-1]["truth_final"]["jobs"][0]


def incarnation(lines: Lines, number: int = 0) -> Any:
    return label(lines)["incarnations"][number]


def happening(lines: Lines) -> Any:
    return next(line["truth"] for line in lines if "pod_uid" in line.get("truth", {}))


@pytest.mark.parametrize("name", recordings.names())
def test_every_recording_is_right(name: str) -> None:
    assert problems(recordings.named(name)) == []


def test_the_project_has_all_56_recordings() -> None:
    kinds = [name.partition("/")[0] for name in recordings.names()]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "jobset": 5, "kai": 33, "kai-jobset": 5, "kueue": 8, "plain": 5,
    }  # fmt: skip


FORM: dict[str, tuple[Damage, str]] = {
    "a header without its clock": (
        lambda ls: ls[0].pop("clock"),
        ":1: Header: clock: Field required",
    ),
    "a header with an unknown key": (
        lambda ls: ls[0].update(kia="v1"),
        ":1: Header: kia: Unexpected",
    ),
    "an entry of two forms": (lambda ls: first(ls, "method").update(status=200), "this has 2"),
    "an entry of no form": (
        lambda ls: ls.insert(1, {"t": 1.0}),
        ":2: an entry has one of the keys",
    ),
    "a list as an entry": (lambda ls: ls.insert(1, [1]), ":2: an entry has one of the keys"),
    "a time before the clock": (lambda ls: first(ls, "method").update(t=-1), "Request: t: "),
    "a time that is no number": (
        lambda ls: first(ls, "method").update(t=float("nan")),
        "Request: t: ",
    ),
    "an unknown method": (
        lambda ls: first(ls, "method").update(method="GRAB"),
        "Request: method: ",
    ),
    "an unknown end": (lambda ls: first(ls, "end").update(end="vanished"), "End: end: "),
    "a status that is text": (
        lambda ls: first(ls, "status").update(status="200"),
        "Answer: status: ",
    ),
    "an unknown watch event": (
        lambda ls: first(ls, "line")["line"].update(type="SEEN"),
        "Line: line.WatchEvent.type",
    ),
    "an unknown ended": (lambda ls: incarnation(ls).update(ended="lost"), "incarnations.0.ended: "),
    "an unknown story": (lambda ls: label(ls).update(story="epic"), "jobs.0.story: "),
    "an exit code over 255": (
        lambda ls: incarnation(ls).update(exit_code=256),
        "incarnations.0.exit_code: ",
    ),
    "a label without a job": (
        lambda ls: ls[-1]["truth_final"].update(jobs=[]),
        "truth_final.jobs: ",
    ),
    "no label at all": (lambda ls: ls.pop(), "truth_final: Field required"),
    "an entry behind the label": (lambda ls: ls.append(ls[1]), "this has 0"),
}


@pytest.mark.parametrize("damage", FORM)
def test_a_line_of_a_wrong_form_is_named(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    harm, complaint = FORM[damage]
    lines = lines_of(EVICTED)
    harm(lines)
    assert recordings.main([str(written(tmp_path / "damaged.jsonl", lines))]) == 1
    assert complaint in capsys.readouterr().out


SENSE: dict[str, tuple[str, Damage, str]] = {
    "an answer that nobody asked for": (
        SMALL,
        lambda ls: first(ls, "status").update(id=99),
        "answer of exchange 99",
    ),
    "a request that stays alone": (
        SMALL,
        lambda ls: ls.remove(first(ls, "status")),
        "exchange 1 stays without",
    ),
    "a number used twice": (
        SMALL,
        lambda ls: ls.insert(2, ls[1]),
        "request of exchange 1 after request",
    ),
    "two answers": (
        SMALL,
        lambda ls: ls.insert(3, first(ls, "status")),
        "answer of exchange 1 after answer",
    ),
    "a line without its stream": (
        EVICTED,
        lambda ls: first(ls, "line").update(id=77),
        "line of exchange 77",
    ),
    "a line behind the end": (
        EVICTED,
        lambda ls: ls.insert(-1, first(ls, "line")),
        "after end of a stream",
    ),
    "a stream that never ends": (
        EVICTED,
        lambda ls: ls.remove(first(ls, "end")),
        "stays without end of a stream",
    ),
    "an answer before its question": (
        SMALL,
        lambda ls: first(ls, "status").update(t=0),
        "runs back from",
    ),
    "a line told twice": (
        EVICTED,
        lambda ls: ls.insert(ls.index(first(ls, "line")), first(ls, "line")),
        "after 395",
    ),
    "a watch that speaks text": (
        EVICTED,
        lambda ls: first(ls, "line").update(line="step 1"),
        "a watch says text",
    ),
    "a pod that nobody knows": (
        EVICTED,
        lambda ls: incarnation(ls).update(pod_uid="f00"),
        "seen 0 times",
    ),
    "a job that nobody saw": (
        EVICTED,
        lambda ls: label(ls).update(uid="f00"),
        "no Job of this name",
    ),
    "a pod seen by the blind": (
        EVICTED,
        lambda ls: incarnation(ls).update(visible=False),
        "visible is False",
    ),
    "a pod unseen by all": (
        UNSEEN,
        lambda ls: incarnation(ls).update(visible=True),
        "visible is True",
    ),
    "a pod of another name": (
        EVICTED,
        lambda ls: incarnation(ls).update(pod="x"),
        "is called nightly-bert-8-mrb8t",
    ),
    "a happening to a stranger": (
        EVICTED,
        lambda ls: happening(ls).update(pod_uid="f00"),
        "pod f00 is in no label",
    ),
    "a wrong exit code": (
        EVICTED,
        lambda ls: incarnation(ls).update(exit_code=137),
        "was shown to end with",
    ),
    "a wrong reason": (
        EVICTED,
        lambda ls: incarnation(ls).update(reason="OOMKilled"),
        "was shown to end with",
    ),
    "an exit code seen in a gap": (
        EVICTED,
        lambda ls: incarnation(ls).update(exit_code_seen=False),
        "was shown to",
    ),
    "a success with an exit code": (
        EVICTED,
        lambda ls: incarnation(ls, 1).update(exit_code=1),
        "succeeded with exit",
    ),
    "nobody who preempted": (
        EVICTED,
        lambda ls: incarnation(ls).update(by=None),
        "preempted by None",
    ),
    "a stranger who preempted": (
        EVICTED,
        lambda ls: incarnation(ls).update(by="the moon"),
        "preempted by the moon",
    ),
    "somebody behind a success": (
        EVICTED,
        lambda ls: incarnation(ls, 1).update(by="person"),
        "succeeded by person",
    ),
    "another action in the event": (
        EVICTED,
        lambda ls: incarnation(ls).update(by="preempt"),
        "Evict event says recl",
    ),
    "an event that did not exist": (
        EVICTED,
        lambda ls: incarnation(ls).update(evict_event=False),
        "there is an Evict",
    ),
    "a charge too many": (
        EVICTED,
        lambda ls: label(ls).update(failures_to_charge=1),
        "but 0 incarnations",
    ),
    "a charge too few": (
        GANG,
        lambda ls: label(ls).update(failures_to_charge=0),
        "but 1 incarnations",
    ),
    "an end against the story": (
        EVICTED,
        lambda ls: label(ls).update(story="deleted"),
        "deleted cannot end succeeded",
    ),
    "a success without a pod": (
        EVICTED,
        lambda ls: label(ls)["incarnations"].pop(),
        "but its incarnations preempted",
    ),
    "a story nobody lived": (
        GANG,
        lambda ls: label(ls).update(story="preempted-and-resumed"),
        "no incarnation was pr",
    ),
    "pods in a wrong order": (
        EVICTED,
        lambda ls: label(ls)["incarnations"].reverse(),
        "but was created before it",
    ),
    "a pod twice": (
        EVICTED,
        lambda ls: label(ls)["incarnations"].insert(0, incarnation(ls)),
        "is in it twice",
    ),
}


@pytest.mark.parametrize("damage", SENSE)
def test_what_cannot_be_true_is_said(
    damage: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, harm, complaint = SENSE[damage]
    lines = lines_of(name)
    harm(lines)
    assert recordings.main([str(written(tmp_path / "damaged.jsonl", lines))]) == 1
    assert complaint in capsys.readouterr().out


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(cut=st.integers(0, len(raw(SMALL).encode()) - 2))
def test_a_cut_file_is_never_right(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl"
    path.write_bytes(raw(SMALL).encode()[:cut])
    with pytest.raises(recordings.RecordingError, match=r"cut\.jsonl"):
        recordings.read(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
@given(data=st.data())
def test_an_exchange_in_pieces_is_never_right(data: st.DataObject, tmp_path: Path) -> None:
    lines = lines_of(SMALL)
    said = [n for n, line in enumerate(lines) if "id" in line]
    place = data.draw(st.sampled_from(said))
    if data.draw(st.booleans()):
        del lines[place]
    else:
        lines.insert(place, lines[place])
    assert problems(recordings.read(written(tmp_path / "pieces.jsonl", lines)))


@pytest.mark.slow
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_no_damage_ends_in_a_traceback(data: st.DataObject, tmp_path: Path) -> None:
    lines = lines_of(SMALL)
    place: Any = lines
    while isinstance(place, (dict, list)) and place:
        holder, key = (
            place,
            data.draw(
                st.sampled_from(sorted(place) if isinstance(place, dict) else range(len(place)))
            ),
        )
        place = holder[key]
        if data.draw(st.integers(0, 3)) == 0:
            break
    holder[key] = data.draw(
        st.sampled_from([None, True, -1, 1e300, "", "x", [], {}, [None], {"items": 1}])
    )
    assert recordings.main([str(written(tmp_path / "damaged.jsonl", lines))]) in (0, 1)


def test_a_file_that_is_no_archive_is_said_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "torn.jsonl.xz"
    path.write_bytes((recordings.FOLDER / f"{SMALL}.jsonl.xz").read_bytes()[:-40])
    assert recordings.main([str(path), str(recordings.FOLDER / f"{SMALL}.jsonl.xz")]) == 1
    torn, right = capsys.readouterr().out.splitlines()
    assert torn.startswith(f"{path}: cannot be read: ")
    assert right.endswith("26-wrong-token.jsonl.xz: 26 lines, 2.8 s, 2 objects: ok")


@pytest.mark.slow
def test_an_archive_that_grows_without_bound_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.jsonl.xz"
    path.write_bytes(lzma.compress(bytes(recordings.LARGEST + 1), preset=0))
    with pytest.raises(recordings.RecordingError, match="no recording is that large"):
        recordings.read(path)


@pytest.mark.parametrize("arguments", [[], ["nowhere.jsonl"], [__file__]])
def test_misuse_ends_with_2_and_a_reason(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        recordings.main(arguments)
    assert ended.value.code == 2
    assert "error: " in capsys.readouterr().err
