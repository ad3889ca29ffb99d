"""The champion's history: one winner of each number, a pointer that follows it, and no way back unnoticed."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.checkpoints.keeping.champion import read_champion, text_of, write_champion
from airflow_runai.checkpoints.keeping.champion_history import KEPT, ChampionHistory
from airflow_runai.checkpoints.storage.exclusive import NotExclusive
from airflow_runai.errors import PromotionRefused
from tests.checkpoints.stepped_store import Store, StoredPath, User

Champion = dict[str, Any]
FEW = 3


def named(uri: str, after: Champion | None) -> Champion:
    """A champion that remembers which one it was compared with."""
    return {"uri": uri, "metrics": {"after": -1 if after is None else after.get("number", 0)}}


def promote(pointer: Any, uri: str, kept: int = KEPT) -> Champion:
    history = ChampionHistory(pointer, kept)
    present = history.present()
    return history.append(named(uri, present), present)


def overtake(pointer: Any, uri: str, other: str) -> Champion:
    """Promote after another one that comes in between."""
    history = ChampionHistory(pointer)
    present = history.present()
    promote(pointer, other)
    return history.append(named(uri, present), present)


def test_each_promotion_is_an_entry_and_the_pointer_is_the_newest(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    history = ChampionHistory(pointer)
    assert (history.present(), history.entries()) == (None, ({}, []))
    made = [promote(pointer, uri) for uri in "abc"]
    assert [one["number"] for one in made] == [1, 2, 3]
    assert history.entries() == ({1: made[0], 2: made[1], 3: made[2]}, [])
    assert read_champion(pointer) == history.present() == made[2]
    names = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*"))
    entries = [f"champion.json.history/00000{number}.json" for number in (1, 2, 3)]
    assert names == ["champion.json", "champion.json.history", *entries]


@pytest.mark.slow
def test_no_more_than_so_many_are_kept(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    for number in range(KEPT + 3):
        promote(pointer, str(number))
    found, _ = ChampionHistory(pointer).entries()
    assert list(found) == list(range(4, KEPT + 4))


def test_a_pointer_from_before_there_was_a_history_becomes_its_first_entry(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    write_champion(pointer, {"uri": "old"})
    promote(pointer, "new")
    found, _ = ChampionHistory(pointer).entries()
    assert {number: one["uri"] for number, one in found.items()} == {0: "old", 1: "new"}


def test_a_history_that_is_lost_goes_on_where_the_pointer_is(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    for uri in "abc":
        promote(pointer, uri)
    for entry in (tmp_path / "champion.json.history").iterdir():
        entry.unlink()
    assert promote(pointer, "d")["number"] == 4
    found, _ = ChampionHistory(pointer).entries()
    assert {number: one["uri"] for number, one in found.items()} == {3: "c", 4: "d"}


def test_a_pointer_is_never_put_back(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    made = [promote(pointer, uri) for uri in "abc"]
    (tmp_path / "champion.json.history" / "000003.json").unlink()
    history = ChampionHistory(pointer)
    history.settle()
    assert read_champion(pointer) == history.present() == made[2]


def test_a_pointer_that_is_lost_is_written_again_from_the_history(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    champion = promote(pointer, "a")
    pointer.unlink()
    history = ChampionHistory(pointer)
    assert history.present() == champion
    history.settle()
    assert read_champion(pointer) == champion


def test_who_is_overtaken_is_told_by_whom_and_changes_nothing(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    promote(pointer, "first")
    with pytest.raises(
        PromotionRefused, match=r"champion\.json: other was promoted at the same time \(number 2\)"
    ):
        overtake(pointer, "mine", "other")
    found, _ = ChampionHistory(pointer).entries()
    assert [one["uri"] for one in found.values()] == ["first", "other"]


def test_a_number_that_is_free_because_it_is_old_is_not_won(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    slow = ChampionHistory(pointer, FEW)
    present = slow.present()
    for uri in "abcdef":
        promote(pointer, uri, FEW)
    with pytest.raises(PromotionRefused, match="f was promoted at the same time"):
        slow.append(named("slow", present), present)
    found, _ = slow.entries()
    assert [one["uri"] for one in found.values()] == ["d", "e", "f"]


BROKEN = {
    "half": "{",
    "another number": json.dumps({"uri": "x", "number": 7}),
    "no JSON": '{"uri": "x", "number": 2, "metrics": {"a": NaN}}',
    "infinite": '{"uri": "x", "number": 2, "metrics": {"a": 1e999}}',
    "list": "[]",
    "no text": '{"uri": 5, "number": 2}',
    "unprintable": '{"uri": "a\\u0000b", "number": 2}',
    "negative": '{"uri": "x", "number": -2}',
    "a run that cannot be shown": '{"uri": "x", "number": 2, "run": {"dag_id": ["a\\u0000"]}}',
    "a name that cannot be shown": '{"uri": "x", "number": 2, "metrics": {"\\u202e": 1}}',
    "something else": '{"uri": "x", "number": 2, "theirs": {"\\ud800": 1e999}}',
    "bool": '{"uri": "x", "number": true}',
}


@pytest.mark.parametrize("what", BROKEN)
def test_the_newest_entry_must_be_one(tmp_path: Path, what: str) -> None:
    pointer = tmp_path / "champion.json"
    promote(pointer, "a")
    bad = tmp_path / "champion.json.history" / "000002.json"
    bad.write_text(BROKEN[what])
    with pytest.raises(ValueError, match=r"champion\.json\.history/000002\.json: "):
        ChampionHistory(pointer).present()
    with pytest.raises(ValueError, match=r"000002\.json: "):
        promote(pointer, "b")
    assert bad.read_text() == BROKEN[what]


def test_an_older_entry_that_is_none_is_told_and_left_out(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    for uri in "ab":
        promote(pointer, uri)
    (tmp_path / "champion.json.history" / "000001.json").write_text("{")
    found, problems = ChampionHistory(pointer).entries()
    assert list(found) == [2]
    assert len(problems) == 1
    assert "000001.json: is no champion pointer" in problems[0]
    assert promote(pointer, "c")["number"] == 3


def test_what_could_not_be_read_again_is_not_written(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    many = {str(number): number for number in range(100_000)}
    for bad in (
        {"uri": "x" * 5000},
        {"uri": "x", "metrics": {"a": float("nan")}},
        {"uri": "x", "metrics": many},
    ):
        with pytest.raises(ValueError, match="cannot be written"):
            ChampionHistory(pointer).append(bad, None)
    assert not pointer.exists()


def test_a_folder_with_too_much_in_it_is_no_history(tmp_path: Path) -> None:
    pointer = tmp_path / "champion.json"
    promote(pointer, "a")
    for number in range(10_001):
        (tmp_path / "champion.json.history" / str(number)).touch()
    with pytest.raises(OSError, match="holds more than 10000 files"):
        promote(pointer, "b")


def test_a_link_in_place_of_the_history_or_an_entry_is_not_followed(tmp_path: Path) -> None:
    from airflow_runai.checkpoints.storage.small_files import SmallFile

    pointer = SmallFile(tmp_path / "champion.json", tmp_path)
    promote(pointer, "a")
    elsewhere = tmp_path / "elsewhere.json"
    elsewhere.write_text(json.dumps({"uri": "x", "number": 2}))
    folder = tmp_path / "champion.json.history"
    (folder / "000002.json").symlink_to(elsewhere)
    with pytest.raises(ValueError, match=r"000002\.json: is a link"):
        promote(pointer, "b")
    folder.rename(tmp_path / "moved")
    folder.symlink_to(tmp_path / "moved")
    with pytest.raises(OSError, match="is a link"):
        promote(pointer, "b")


def test_a_file_system_without_hard_links_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*ends: Any, **more: Any) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(NotExclusive, match=r"000001\.json: file system without hard links"):
        promote(tmp_path / "champion.json", "a")
    assert not (tmp_path / "champion.json").exists()
    assert list((tmp_path / "champion.json.history").iterdir()) == []


@pytest.mark.parametrize("repetition", range(5))
def test_of_many_processes_one_wins(tmp_path: Path, repetition: int) -> None:
    pointer = tmp_path / "champion.json"
    promote(pointer, "first")
    history = ChampionHistory(pointer)
    present = history.present()
    start, go = os.pipe()
    children = []
    for number in range(4):
        child = os.fork()
        if child == 0:
            os.close(go)
            os.read(start, 1)  # until the parent closes its end
            try:
                history.append(named(str(number), present), present)
            except PromotionRefused:
                os._exit(1)
            finally:
                os._exit(0)
        children.append(child)
    os.close(go)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    assert sorted(codes) == [0, 1, 1, 1]
    champion = read_champion(pointer)
    assert champion is not None
    assert (champion["uri"], champion["number"]) == (str(codes.index(0)), 2)


def test_a_storage_without_a_conditional_put_is_refused_by_name() -> None:
    for store, words in (
        (Store(conditional=False), "server that ignores If-None-Match"),
        (Store(("memory",)), "memory storage without a conditional put"),
    ):
        pointer = StoredPath(store, "bucket/champion.json")
        with pytest.raises(NotExclusive, match=words):
            promote(pointer, "a")
        assert "bucket/champion.json" not in store.objects


def test_an_answer_that_was_lost_after_the_writing_is_no_defeat() -> None:
    pointer = StoredPath(Store(repeats=True), "bucket/champion.json")
    made = [promote(pointer, uri) for uri in "ab"]
    assert read_champion(pointer) == made[1]
    with pytest.raises(PromotionRefused):
        overtake(pointer, "mine", "other")


def test_a_pointer_that_was_listed_before_it_changed_is_read_as_it_is() -> None:
    pointer = StoredPath(Store(), "bucket/champion.json")
    promote(pointer, "short")
    assert pointer in list(pointer.parent.iterdir())
    made = {"uri": "by another process, and much longer than before", "number": 2}
    pointer.fs.objects[pointer.path] = text_of(made).encode()
    assert read_champion(pointer) == made


# A turn of one of three promoters; it dies in one turn of twelve.
TURNS = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 11).map(lambda number: number == 0)), max_size=60
)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(turns=TURNS, before=st.integers(0, 5), repeats=st.booleans())
def test_whoever_is_held_up_or_dies_the_history_is_one_line(
    turns: list[tuple[int, bool]], before: int, repeats: bool
) -> None:
    store = Store(repeats=repeats)
    pointer = StoredPath(store, "bucket/champion.json")
    for number in range(before):
        promote(pointer, f"before-{number}", FEW)
    names = ("x", "y", "z")
    users = [User(lambda uri=uri: promote(pointer, uri, FEW)) for uri in names]  # type: ignore[misc]  # uri is bound
    seen = [before]
    for index, dies in turns:
        users[index].step(dies=dies)
        seen.append(_number(pointer))
    for user in users:
        user.finish()
    seen.append(_number(pointer))
    assert seen == sorted(seen), "the champion went backwards"
    won = {user.result["number"]: user.result for user in users if isinstance(user.result, dict)}
    refused = [isinstance(user.result, PromotionRefused) for user in users]
    assert len(won) + sum(refused) + sum(user.died for user in users) == len(users)
    assert len(won) >= 1 or any(user.died for user in users)
    history = ChampionHistory(pointer, FEW)
    entries, problems = history.entries()
    assert problems == []
    for number, entry in entries.items():
        # It was compared with the one before it, and with no other.
        assert entry["metrics"]["after"] == (number - 1 if number > 1 else -1)
        assert won.get(number, entry) == entry
    uris = [entry["uri"] for entry in entries.values()]
    assert len(set(uris)) == len(uris)
    assert not {uri for uri, lost in zip(names, refused, strict=True) if lost} & set(uris)
    if not any(user.died for user in users):
        assert read_champion(pointer) == history.present()
    last = promote(pointer, "last", FEW)
    assert read_champion(pointer) == history.present() == last
    assert len(history.entries()[0]) <= FEW


def _number(pointer: StoredPath) -> int:
    present = ChampionHistory(pointer).present()
    return 0 if present is None else int(present["number"])


POINTER = "bucket/champion.json"
SECOND = f"{POINTER}.history/000002.json"
#: What is left to do after an entry was made.
REQUESTS = 12


def held_up(requests: int) -> tuple[StoredPath, User]:
    """A promotion that is the second, and stops so many requests after it is one."""
    pointer = StoredPath(Store(), POINTER)
    promote(pointer, "first")
    slow = User(lambda: promote(pointer, "slow"))
    while SECOND not in pointer.fs.objects:
        slow.step()
    for _ in range(requests):
        slow.step()
    return pointer, slow


@pytest.mark.parametrize("requests", range(REQUESTS))
def test_one_that_was_held_up_leaves_no_old_pointer_behind(requests: int) -> None:
    pointer, slow = held_up(requests)
    promote(pointer, "fast")
    slow.finish()
    assert slow.result["number"] == 2
    assert json.loads(pointer.fs.objects[POINTER])["uri"] == "fast"


@pytest.mark.parametrize("requests", range(REQUESTS))
def test_one_that_dies_after_the_history_has_promoted(requests: int) -> None:
    pointer, dying = held_up(requests)
    dying.step(dies=True)
    present = ChampionHistory(pointer).present()
    assert present is not None
    assert present["uri"] == "slow"
    ChampionHistory(pointer).settle()
    assert read_champion(pointer) == present


def test_these_requests_are_all_that_follow() -> None:
    assert held_up(REQUESTS)[1].ended
