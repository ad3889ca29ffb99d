"""Lines of a log: clean, bounded, and none twice."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.log_lines import (
    LINE_LIMIT,
    MARKS,
    LogPosition,
    clean_lines,
    cut_line,
    growth,
    newest,
)


def test_a_text_becomes_the_lines_that_a_terminal_shows() -> None:
    text = "\x1b[31mred\x1b[0m\n 10%\r 50%\r100%\r\n\ttab\nend  \n"
    assert clean_lines(text) == ["red", "100%", "    tab", "end"]
    assert clean_lines("") == clean_lines("\n") == []
    assert clean_lines("a\n\nb") == ["a", "", "b"]
    assert clean_lines("\x1b]0;title\x07shown") == ["shown"]


@given(st.text())
def test_whatever_a_training_writes_can_be_shown(text: str) -> None:
    for line in map(cut_line, clean_lines(text)):
        assert line.isprintable()
        assert len(line) <= LINE_LIMIT


def test_the_newest_lines_fit_both_limits() -> None:
    lines = ["aaa", "bb", "c"]
    assert newest(lines, 2, 100) == ("bb", "c")
    assert newest(lines, 5, 5) == ("bb", "c")
    assert newest(lines, 5, 4) == ("c",)
    assert newest(lines, 0, 100) == newest([], 3, 100) == ()


@given(st.lists(st.sampled_from(["", "a", "b"])), st.lists(st.integers(0, 60)))
def test_seen_from_its_beginning_each_line_is_shown_once(log: list[str], looks: list[int]) -> None:
    place, shown = LogPosition(), list[str]()
    for until in sorted(min(look, len(log)) for look in looks):
        new = growth(place, log[:until], is_whole=True)
        assert not new.has_gap
        shown += new.lines
        place = new.place
        assert shown == log[:until]


@given(st.lists(st.integers(0, 400)), st.integers(MARKS, 80))
def test_seen_by_its_end_no_line_is_shown_twice_and_gaps_are_told(
    looks: list[int], window: int
) -> None:
    log = [f"step {number}" for number in range(400)]
    place, shown, before = LogPosition(), list[str](), 0
    for until in sorted(looks):
        new = growth(place, log[max(0, until - window) : until], is_whole=until <= window)
        assert list(new.lines) == log[max(before, until - window) : until]
        # Where hardly a line is common, there may be no gap.
        assert new.has_gap or not before or until - window <= before
        assert not new.has_gap or until - window > before - MARKS // 2
        shown += new.lines
        place, before = new.place, until
    assert len(set(shown)) == len(shown)


def test_one_line_again_and_again_is_no_flood() -> None:
    place = growth(LogPosition(), ["warning"] * 100, is_whole=False).place
    assert growth(place, ["warning"] * 1000, is_whole=False).lines == ()
    mixed = ["warning"] * 50 + ["error"] + ["warning"] * 50
    assert growth(place, mixed, is_whole=False).lines == ("error", *["warning"] * 50)


@pytest.mark.parametrize("period", [1, 2, 5, MARKS])
def test_a_few_lines_again_and_again_are_no_flood(period: int) -> None:
    turn = [f"retry {number}" for number in range(period)]
    place = growth(LogPosition(), turn * 40, is_whole=False).place
    assert growth(place, turn * 200, is_whole=False).lines == ()


def test_an_end_of_equal_lines_is_not_taken_for_the_beginning() -> None:
    """A tail of 100 lines was seen; then a thousand lines of which none is new."""
    place = growth(LogPosition(), ["waiting"] * 100, is_whole=False).place
    assert growth(place, ["waiting"] * 1000, is_whole=False).lines == ()
    assert growth(place, ["waiting"] * 1000, is_whole=True).lines == ()


def test_a_log_that_outgrows_the_window_is_counted_no_more() -> None:
    place = growth(LogPosition(), ["waiting"] * 500, is_whole=True).place
    assert place.count == 500
    assert growth(place, ["waiting"] * 1000, is_whole=False).lines == ()


def test_seen_whole_from_now_on_repeated_lines_are_counted() -> None:
    place = growth(LogPosition(), ["waiting"] * 100, is_whole=False).place
    place = growth(place, ["waiting"] * 150, is_whole=True).place
    assert growth(place, ["waiting"] * 152, is_whole=True).lines == ("waiting", "waiting")


def test_a_line_that_will_be_cut_takes_the_room_that_it_is_shown_in() -> None:
    lines = ["Traceback", "x" * 33_000]
    assert newest(lines, 100, 32_768) == ()
    assert newest(lines, 100, 32_768, LINE_LIMIT) == tuple(lines)


def test_a_place_survives_as_json() -> None:
    place = growth(LogPosition(), ["a", "b"], is_whole=True).place
    assert LogPosition.from_json(place.to_json()) == place
    assert LogPosition.from_json({}) == LogPosition()
