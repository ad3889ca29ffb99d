"""
What becomes of tests that do not run: all of them are recorded, and where CI has installed a library none may lack it.

``RUNAI_SKIPPED=FILE`` appends one line for each skipped test to a file: `make test` is several runs
of pytest, and CI shows what all of them skipped. ``RUNAI_REQUIRE_ORACLES=1`` lets fail what would
be skipped for lack of a library. Tests marked `qualify` take very long; they run only if ``-m``
names them, whatever else it says.
"""

from __future__ import annotations

import os
import re
from collections.abc import Generator
from typing import TypeVar

import pytest

#: What importorskip says, and what this house's own conditions say.
_LACKING = re.compile(r"could not import|is not installed")
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Let a test fail that lacks a library."""
    return _with_all_libraries((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Let a whole file fail that lacks a library."""
    return _with_all_libraries((yield))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what takes very long, unless it is asked for by its mark."""
    if "qualify" in config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("qualify")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("qualify")]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Append what was skipped to the record; of several processes that test side by side, only the first knows all."""
    record = os.environ.get("RUNAI_SKIPPED")
    if record and not hasattr(config, "workerinput"):
        skipped = terminalreporter.getreports("skipped")
        with open(record, "a") as file:
            file.writelines(f"{report.nodeid}: {_reason(report)}\n" for report in skipped)


def _with_all_libraries(report: Report) -> Report:
    if (
        report.skipped
        and os.environ.get("RUNAI_REQUIRE_ORACLES") == "1"
        and _LACKING.search(_reason(report))
    ):
        report.longrepr = f"{_reason(report)}; RUNAI_REQUIRE_ORACLES=1 lets no test do without: run `make oracles`"
        report.outcome = "failed"
    return report


def _reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    # An expected failure counts as skipped, too; it has a traceback in place of (file, line,
    # reason).
    return (
        report.longrepr[2].removeprefix("Skipped: ") if isinstance(report.longrepr, tuple) else ""
    )
