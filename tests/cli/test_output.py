"""Tables: as wide as the terminal allows, and one line a row where there is none."""

from __future__ import annotations

import contextlib
import pty
import re

import pytest

from airflow_runai.cli.output import format_duration, print_rows, table_lines

SAYS = "not set: 30 s from SIGTERM to SIGKILL; measure a save and set it"
ROWS = [
    {"code": "grace-default", "message": SAYS, "where": "spec"},
    {"code": "x", "message": "short", "where": ""},
]


def test_a_row_is_one_line_where_there_is_no_terminal() -> None:
    assert [line.split("  ")[0] for line in table_lines(ROWS, rule=False, width=1_000_000)] == [
        "code",
        "grace-default",
        "x",
    ]


def test_the_widest_column_is_wrapped_to_the_terminal() -> None:
    shown = table_lines(ROWS, rule=True, width=60)
    assert max(map(len, shown)) <= 60
    first, message, last = shown[1].split(" ")
    assert (first, last) == ("-" * 14, "-" * 5)
    assert set(message) == {"-"}
    assert shown[2].startswith("grace-default  not set: 30 s")
    assert shown[3].startswith(" " * 15)
    assert " ".join(line[15:53].strip() for line in shown[2:-1]) == SAYS


def test_a_terminal_too_small_for_any_table_loses_and_breaks_no_word() -> None:
    shown = table_lines(ROWS, rule=False, width=5)
    assert " ".join(line[15:23].strip() for line in shown[1:-1]) == SAYS


def test_a_table_that_fits_is_left_alone() -> None:
    assert table_lines(ROWS, rule=True, width=200) == table_lines(ROWS, rule=True, width=1_000_000)


def test_texts_of_a_server_are_no_markup_and_numbers_stay_numbers() -> None:
    rows = [{"text": "[red]a[/red] :smile: [link=x]", "number": 1.50, "none": None}]
    assert table_lines(rows, rule=False, width=200)[1] == "[red]a[/red] :smile: [link=x]  1.5"


def read_to_the_end(leader: int) -> bytes:
    """Read all that a terminal was sent; it comes in pieces, and ends with an error."""
    screen = b""
    with open(leader, "rb", buffering=0) as file, contextlib.suppress(OSError):
        while piece := file.read(10_000):
            screen += piece
    return screen


def test_a_terminal_gets_a_table_of_its_width_and_a_file_no_escape_sequences(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"COLUMNS": "60", "TERM": "xterm", "FORCE_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    print_rows(ROWS, "table")
    piped = capsys.readouterr().out
    assert piped == "\n".join(table_lines(ROWS, rule=True, width=1_000_000)) + "\n"
    assert piped.isascii()
    assert "\x1b" not in piped
    wrapped = table_lines(ROWS, rule=True, width=60)
    leader, follower = pty.openpty()
    with open(follower, "w") as terminal:
        monkeypatch.setattr("sys.stdout", terminal)
        print_rows(ROWS, "table")
    shown = re.sub(r"\x1b\[[0-9;]*m", "", read_to_the_end(leader).decode())
    assert shown.split("\r\n") == [*wrapped, ""]


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(None, ""), (-1, "0s"), (59.4, "59s"), (59.6, "1m00s"), (7440, "2h04m"), (273_600, "3d04h")],
)
def test_a_duration_has_two_units(seconds: float | None, expected: str) -> None:
    assert format_duration(seconds) == expected
