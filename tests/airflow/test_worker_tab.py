"""The tab of a worker that waits by itself: one thread writes, and nothing older follows."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

from airflow_runai.tasks.log_facts import LogEnd
from airflow_runai.tasks.worker_tab import WorkerTab


class Shown:
    """Stands for the task instance; keeps what is pushed, and by which thread."""

    def __init__(self) -> None:
        self.pushed: list[dict[str, Any]] = []
        self.threads: set[threading.Thread] = set()
        self.slept: list[float] = []

    def xcom_push(self, key: str, value: dict[str, Any]) -> None:
        self.pushed.append(value)
        self.threads.add(threading.current_thread())


def news(*phases: str, **more: Any) -> dict[str, Any]:
    timeline = [{"at": 100.0 * at, "phase": phase} for at, phase in enumerate(phases, start=1)]
    return {"phase": phases[-1], "timeline": timeline, **more}


def tab_of(shown: Shown) -> WorkerTab:
    context: Any = {"task": SimpleNamespace(do_xcom_push=True), "ti": shown}
    return WorkerTab(context)


def leave_elsewhere(tab: WorkerTab, found: dict[str, Any]) -> None:
    thread = threading.Thread(target=tab.leave, args=(found,))
    thread.start()
    thread.join()


def test_the_reasons_of_a_long_wait_are_shown_after_the_next_pause() -> None:
    shown = Shown()
    tab = tab_of(shown)
    pause = tab.pausing(shown.slept.append)
    pending = news("Pending")
    pause(1.0)
    tab.show(pending)
    leave_elsewhere(tab, {**pending, "reasons": ["no room"]})
    assert shown.pushed == [pending]
    pause(30.0)
    pause(30.0)
    assert shown.pushed == [pending, {**pending, "reasons": ["no room"]}]
    assert shown.threads == {threading.current_thread()}
    assert shown.slept == [1.0, 30.0, 30.0]


def test_reasons_that_come_too_late_take_nothing_back() -> None:
    shown = Shown()
    tab = tab_of(shown)
    tab.show(news("Pending"))
    tab.show(news("Pending", "Running"))
    leave_elsewhere(tab, news("Pending", reasons=["no room"]))
    tab.pausing(shown.slept.append)(30.0)
    assert [one["phase"] for one in shown.pushed] == ["Pending", "Running"]


def test_the_end_of_a_log_is_shown_with_the_next_news() -> None:
    shown = Shown()
    tab = tab_of(shown)
    tab.add_log(LogEnd(("last words",), 1, ""))
    tab.show(news("Pending"))
    assert shown.pushed[0]["log_tail"] == ["last words"]
