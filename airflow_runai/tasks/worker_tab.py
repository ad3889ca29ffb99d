"""What a worker that waits by itself shows in the tab; written by its own thread alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.links import push_timeline
from airflow_runai.tasks.log_facts import LogEnd, LogFacts

if TYPE_CHECKING:
    from airflow.sdk import Context


class WorkerTab:
    """
    Shows news of a wait, and what its companions find out.

    Airflow's supervisor answers one thread of a worker. So what companions say in their thread is
    shown when the worker has slept the next time.
    """

    def __init__(self, context: Context) -> None:
        self._context, self._facts = context, LogFacts()
        self._shown: JsonMapping = {}
        self._left: deque[JsonMapping] = deque(maxlen=1)

    def show(self, news: JsonMapping) -> None:
        """Show news, in the worker's own thread."""
        self._shown = news
        push_timeline(self._context, self._facts.beside(news))

    def add_log(self, end: LogEnd) -> None:
        """Take the end of a log; it is shown with the next news."""
        self._facts.add(*end)

    def leave(self, news: JsonMapping) -> None:
        """Take news in any thread; they are shown after a pause, unless there are newer ones."""
        self._left.append(news)

    def pausing(self, sleep: Callable[[float], None]) -> Callable[[float], None]:
        """Return how the worker sleeps: as before, and then it shows what was left here."""

        def pause(seconds: float) -> None:
            sleep(seconds)
            news = self._left.pop() if self._left else {}
            if news and news["timeline"] == self._shown.get("timeline"):
                self.show(news)

        return pause
