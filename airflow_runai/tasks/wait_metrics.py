"""Counts in Airflow's metrics what waits see."""

from __future__ import annotations

import time

from airflow_runai.core.flow import Notice
from airflow_runai.core.happenings import INTERRUPTION, new_changes
from airflow_runai.core.outcome import moments_from_json
from airflow_runai.core.phase_news import RECENT
from airflow_runai.deployment.metrics import count


class WaitMetrics:
    """A companion that counts the wait, its end, and the interruptions since it began."""

    __slots__ = ("_counted", "_counted_until")

    def __init__(self) -> None:
        self._counted_until = time.time() - RECENT
        self._counted = 0
        count("runai.waits.started")

    def hear(self, notice: Notice) -> None:
        """Count what is new."""
        if notice.kind == "timeline":
            self._count_interruptions(notice)
        elif notice.kind == "end":
            self._count_interruptions(notice)
            count("runai.waits.ended", status=str(notice.data.get("status")))

    def close(self) -> None:
        """Nothing is left to do."""

    def _count_interruptions(self, notice: Notice) -> None:
        interruptions = notice.data["clocks"]["interruptions"]
        if interruptions == self._counted:  # the timeline is read only where it holds news
            return
        self._counted = interruptions
        for change in new_changes(moments_from_json(notice.data), self._counted_until):
            self._counted_until = max(self._counted_until, change.at)
            if change.kind == INTERRUPTION:
                count("runai.interruptions")
                if change.preempted:
                    count("runai.preemptions")
