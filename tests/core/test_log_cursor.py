from __future__ import annotations

from datetime import datetime, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core.log_cursor import LogCursor, LogLine, LogStretch

POD = "pod-1"
START = 1_790_000_000
Entry = tuple[int, str]  # nanoseconds since START, text


def stamp(at: int) -> str:
    moment = datetime.fromtimestamp(START + at // 10**9, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{at % 10**9:09d}Z"


def served(log: list[Entry], cursor: LogCursor) -> list[bytes]:
    """Return what a node serves from the cursor's second on."""
    since = cursor.at // 10**9 * 10**9 - START * 10**9 if cursor.at else 0
    return [f"{stamp(at)} {text}".encode() for at, text in log if at >= since]


def read(log: list[Entry], cursor: LogCursor) -> tuple[list[LogLine], LogCursor]:
    stretch = LogStretch(cursor)
    lines = [line for raw in served(log, cursor) if (line := stretch.take(raw))]
    return lines, stretch.cursor


logs = st.lists(st.integers(min_value=0, max_value=40), max_size=40).map(
    lambda steps: [(step * 10**8, f"line {n}") for n, step in enumerate(sorted(steps))]
)


@given(logs, st.lists(st.integers(min_value=0, max_value=40), max_size=6))
def test_a_log_that_is_read_in_parts_has_each_line_once_and_no_gap(
    log: list[Entry], parts: list[int]
) -> None:
    cursor, seen = LogCursor(POD), []
    for end in [*sorted(parts), len(log)]:
        lines, cursor = read(log[:end], cursor)
        seen += lines
    assert [line.text for line in seen] == [text for _, text in log]
    assert not any(line.has_gap for line in seen)


@given(logs, st.integers(min_value=0, max_value=40), st.integers(min_value=0, max_value=40))
def test_a_log_that_was_turned_over_repeats_nothing_and_says_where_lines_are_missing(
    log: list[Entry], first: int, lost: int
) -> None:
    before, cursor = read(log[:first], LogCursor(POD))
    after, _ = read(log[lost:], cursor)
    numbers = [int(line.text.split()[1]) for line in [*before, *after]]
    assert numbers == sorted(set(numbers))
    if after and numbers != list(range(len(log))) and before:
        # Lines of the very time at which it was turned over cannot be told apart.
        is_missed = log[lost][0] > log[min(first, len(log)) - 1][0]
        assert after[0].has_gap or not is_missed
    assert not any(line.has_gap for line in after[1:])


def test_the_place_between_lines_of_one_time_is_a_count() -> None:
    log = [(5, "a"), (5, "b"), (5, "c")]
    _, cursor = read(log[:2], LogCursor(POD))
    assert (cursor.at, cursor.count) == (START * 10**9 + 5, 2)
    lines, _ = read(log, cursor)
    assert [line.text for line in lines] == ["c"]


def test_lines_that_are_stamped_in_the_wrong_order_are_all_shown() -> None:
    lines, cursor = read([(7, "out"), (5, "err"), (9, "out")], LogCursor(POD))
    assert [line.text for line in lines] == ["out", "err", "out"]
    assert cursor.at == START * 10**9 + 9


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"2026-11-26T13:50:51.740000001Z hello", "hello"),
        (b"2026-11-26T13:50:51Z hello", "hello"),
        (b"2026-11-26T14:50:51.74+01:00 hello", "hello"),
        (b"2026-11-26T13:50:51.740000001Z", ""),
        (b"2026-11-26T13:50:51.740000001Z ", ""),
        (b"2026-11-26T13:50:51.740000001Z \x1b[31mred\x1b[0m\r50%\r60%", "60%"),
        (b"2026-11-26T13:50:51.740000001Z \xff\xfe", "\ufffd\ufffd"),
        (b"no time at all", "no time at all"),
        (b"2026-99-99T99:99:99Z x", "x"),
        (b"", ""),
    ],
)
def test_a_line_is_its_text_without_the_time(raw: bytes, text: str) -> None:
    line = LogStretch(LogCursor(POD)).take(raw)
    assert line
    assert line.text == text


def test_a_line_without_a_time_belongs_to_the_one_before_it() -> None:
    first = [b"2026-11-26T13:50:51.5Z half of a long", b" line"]
    stretch = LogStretch(LogCursor(POD))
    assert [line.text for raw in first if (line := stretch.take(raw))] == [
        "half of a long",
        " line",
    ]
    again = LogStretch(stretch.cursor)
    shown = [again.take(raw) for raw in [*first, b"2026-11-26T13:50:52Z next"]]
    assert [line.text for line in shown if line] == ["next"]


def test_zones_do_not_matter() -> None:
    zulu = LogStretch(LogCursor(POD)).take(b"2026-11-26T13:50:51.000000007Z x")
    berlin = LogStretch(LogCursor(POD)).take(b"2026-11-26T14:50:51.000000007+01:00 x")
    assert zulu == berlin
    assert zulu
    assert zulu.cursor.since == "2026-11-26T13:50:51Z"


def test_a_cursor_survives_in_json() -> None:
    cursor = LogCursor(POD, START * 10**9 + 123_456_789, 3)
    assert LogCursor.from_json(cursor.to_json()) == cursor
    assert LogCursor.from_json({}) == LogCursor("")
    assert LogCursor(POD).since is None
