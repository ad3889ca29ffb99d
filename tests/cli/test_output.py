"""Tables: as wide as the terminal allows, and one line a row where there is none."""

from __future__ import annotations

from airflow_runai.cli.output import lines

SAYS = "not set: 30 s from SIGTERM to SIGKILL; measure a save and set it"
ROWS = [
    {"code": "grace-default", "message": SAYS, "where": "spec"},
    {"code": "x", "message": "short", "where": ""},
]


def test_a_row_is_one_line_where_there_is_no_terminal() -> None:
    assert [line.split("  ")[0] for line in lines(ROWS, rule=False, room=None)] == [
        "code",
        "grace-default",
        "x",
    ]


def test_the_widest_column_is_wrapped_to_the_terminal() -> None:
    shown = list(lines(ROWS, rule=True, room=60))
    assert max(map(len, shown)) <= 60
    assert shown[1] == f"{'-' * 13}  {'-' * 38}  -----"
    assert shown[2].startswith("grace-default  not set: 30 s")
    assert shown[3].startswith(" " * 15)
    assert " ".join(line[15:53].strip() for line in shown[2:-1]) == SAYS


def test_a_terminal_too_small_for_any_table_loses_no_word() -> None:
    shown = list(lines(ROWS, rule=False, room=5))
    assert " ".join(line[15:39].strip() for line in shown[1:-1]) == SAYS


def test_a_table_that_fits_is_left_alone() -> None:
    assert list(lines(ROWS, rule=True, room=200)) == list(lines(ROWS, rule=True, room=None))
