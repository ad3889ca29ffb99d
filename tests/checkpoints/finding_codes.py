"""The codes of a report's findings, for comparison."""

from __future__ import annotations

from airflow_runai.checkpoints import Report


def codes(report: Report) -> list[str]:
    """Return the code of each finding, in the order of the report."""
    return [finding.code for finding in report.findings]


def code_set(report: Report, *ignored: str) -> set[str]:
    """Return each code once, without those that the test does not speak of."""
    return set(codes(report)) - set(ignored)
