"""What is shown is printable and bounded; what is used is unchanged or refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.phases import Meaning
from airflow_runai.core.texts import PHASE_LIMIT, TEXT_LIMIT, cut, exact, listed, plural, printable
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Unreadable

ANY = st.text(st.characters(exclude_categories=()), max_size=300)
#: One of each kind: C0, DEL, C1, bidirectional, zero width, separators, private, unassigned, half a
#: surrogate.
UNPRINTABLE = [
    "\0",
    "\a",
    "\x1b",
    "\x7f",
    "\x9b",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u2028",
    "\ue000",
    "\u0378",
    "\ud83d",
]


@given(ANY, st.integers(2, 300))
def test_what_is_shown_prints_and_is_bounded(text: str, limit: int) -> None:
    for shown in (printable(text, limit), cut(text, limit)):
        assert shown.isprintable()
        assert len(shown) <= limit


@given(ANY)
def test_what_is_used_is_unchanged_or_refused(text: str) -> None:
    if text.isprintable() and len(text) <= TEXT_LIMIT:
        assert exact(text, "id") == text
        return
    with pytest.raises(Unreadable) as caught:
        exact(text, "id")
    assert str(caught.value).isprintable()


@pytest.mark.parametrize("character", UNPRINTABLE)
def test_each_kind_of_unprintable_character_is_seen_as_replaced(character: str) -> None:
    assert printable(f"a{character}b", 9) == "a\N{REPLACEMENT CHARACTER}b"
    with pytest.raises(
        Unreadable,
        match=r"workload's id: '.*'; allowed: at most 256 characters, all of which print",
    ):
        exact(f"a{character}b", "workload's id")


@pytest.mark.parametrize(
    "text", ["plain", "Größe: 5 µm", "学習 完了", "עברית", "e\u0301", "🚀 done"]
)
def test_what_people_write_is_left_as_it_is(text: str) -> None:
    assert (printable(text, 99), cut(text), exact(text, "name")) == (text, text, text)


def test_a_text_is_brought_on_one_line_and_cut() -> None:
    assert cut("two\r\n  lines\tand\u00a0more ") == "two lines and more"
    assert cut("x" * 1_000_000) == "x" * (TEXT_LIMIT - 1) + "…"


@pytest.mark.parametrize(("value", "text"), [(None, ""), ("", ""), (4501, "4501"), (0, "0")])
def test_numbers_and_nothing_are_names_too(value: Any, text: str) -> None:
    assert exact(value, "id") == text


@pytest.mark.parametrize("value", [1.5, [], {}, ["a"], {"a": "\0"}, "x" * 257])
def test_what_is_no_name_is_refused(value: Any) -> None:
    with pytest.raises(Unreadable):
        exact(value, "id")


@pytest.mark.parametrize(
    "phase", ["Completed\n", " Completed", "Completed\0", "Completed\u200b", "Com\u00adpleted"]
)
def test_a_phase_never_becomes_another_one_by_being_cleaned(phase: str) -> None:
    found = Workload.from_wire({"id": "w-1", "phase": phase})
    assert found.meaning is Meaning.UNKNOWN
    assert found.phase.isprintable()
    assert len(Workload.from_wire({"id": "w-1", "phase": "x" * 10**6}).phase) == PHASE_LIMIT


@pytest.mark.parametrize("key", ["id", "name", "projectId", "clusterId"])
def test_a_workload_whose_name_or_id_does_not_print_is_refused(key: str) -> None:
    with pytest.raises(Unreadable, match=r"workload's .*'a\\x00b'"):
        Workload.from_wire({"id": "w-1", "name": "n", "phase": "Running", key: "a\0b"})


def test_numbers_and_lists_read_well() -> None:
    assert [plural(n, "gate") for n in (0, 1, 2)] == ["0 gates", "1 gate", "2 gates"]
    assert listed("refused", ["a"]) == "refused: a"
    assert listed("refused", ["a", "b"]) == "refused:\n  - a\n  - b"
