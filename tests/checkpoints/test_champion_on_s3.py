"""The champion on a real S3 server: one winner of each promotion, and nobody sees an old one from a cache."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_runai.checkpoints.keeping.champion import read_champion
from airflow_runai.checkpoints.keeping.champion_history import ChampionHistory
from airflow_runai.checkpoints.storage.exclusive import prove_exclusive, put_new
from airflow_runai.errors import PromotionRefused
from tests.checkpoints.object_store import needs_server, running_store, s3, s3_options

upath = pytest.importorskip("upath")
pytest.importorskip("s3fs")
pytestmark = [pytest.mark.slow, needs_server]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    with running_store(tmp_path_factory.mktemp("store")) as port:
        s3(port).mkdir("models")
        yield port


def pointer(port: int, folder: str) -> Any:
    """The pointer as a process of its own sees it, with its own connection and caches."""
    return upath.UPath(f"s3://models/{folder}/champion.json", **s3_options(port))


def test_promotions_follow_each_other_and_old_ones_go(store: int) -> None:
    mine, theirs = (ChampionHistory(pointer(store, "line"), 3) for _ in range(2))
    for number in range(1, 8):
        # In turns, so that each has listed and read before the other one writes.
        history, other = (mine, theirs) if number % 2 else (theirs, mine)
        made = history.append({"uri": f"c{number}", "step": number}, history.present())
        assert made["number"] == number
        assert other.present() == made
        assert read_champion(other.pointer) == made
    found, problems = mine.entries()
    assert (list(found), problems) == ([5, 6, 7], [])


@pytest.mark.parametrize("before", [0, 1])
def test_of_promotions_at_once_one_wins_and_the_others_say_so(store: int, before: int) -> None:
    folder = f"race-{before}"
    for number in range(before):
        ChampionHistory(pointer(store, folder)).append({"uri": str(number)}, None)
    histories = [ChampionHistory(pointer(store, folder)) for _ in range(4)]
    present = [history.present() for history in histories]
    together, won, told = threading.Barrier(4), [], []

    def promote(index: int) -> None:
        together.wait()
        try:
            won.append(histories[index].append({"uri": f"c{index}"}, present[index]))
        except PromotionRefused as error:
            told.append(str(error))

    threads = [threading.Thread(target=promote, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(told)) == (1, 3)
    assert read_champion(pointer(store, folder)) == won[0]
    assert all(f"{won[0]['uri']} was promoted at the same time" in words for words in told)


def test_the_server_keeps_what_is_to_be_created(store: int) -> None:
    place = pointer(store, "kept").parent / "one"
    prove_exclusive(place)
    content = place.read_bytes()
    with pytest.raises(FileExistsError, match="is there already"):
        put_new(place, b"other")
    assert place.read_bytes() == content


def test_what_fails_for_another_reason_is_no_conflict(store: int) -> None:
    place = upath.UPath("s3://models/champion.json", **s3_options(store, secret="wrong"))
    with pytest.raises(PermissionError):
        put_new(place, b"x")
