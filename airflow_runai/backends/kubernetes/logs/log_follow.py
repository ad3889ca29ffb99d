"""
A training's log as it grows: from pod to pod, each line once.

Whoever reads a pod's log when the pod is taken away gets its last words. So one stream stays open
at the pod that runs, and the next one is opened at its successor. What was missed between two
streams shows as a gap.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from airflow_runai.backends.kubernetes.api.writes import Object
from airflow_runai.backends.kubernetes.logs.pod_log import follow
from airflow_runai.backends.kubernetes.logs.pod_source import PodSource
from airflow_runai.backends.kubernetes.logs.pods import facts_of, log_of, redaction_of, row_of
from airflow_runai.backends.log_parts import without_secrets
from airflow_runai.backends.patience import Patience
from airflow_runai.core.flow import Flow, Sleep
from airflow_runai.core.incarnations import pods_at
from airflow_runai.core.kubernetes.facts import NEVER
from airflow_runai.core.kubernetes.objects import word
from airflow_runai.core.kubernetes.pod_facts import PodFacts
from airflow_runai.core.log_cursor import LogCursor, LogLine
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound

#: In place of lines that nobody could read.
GAP = "(lines may be missing here)"
#: Seconds between two looks for the next pod.
_PAUSE = 2.0
_PATIENCE = Patience(600.0)


class LogFollow:
    """Follows the log of one training, at the pod that leads where there are several."""

    def __init__(self, workload: Workload, source: PodSource) -> None:
        self._workload, self._source = workload, source
        # Pods that need not be read any more, and how far the others were.
        self._done: set[str] = set()
        self._cursors: dict[str, LogCursor] = {}

    def run(self, take: Callable[[Sequence[str]], Flow[None]], first: int | None) -> Flow[None]:
        """
        Hand over lines as they may be shown, until the training has ended.

        :param first: so many of those that are there already; ``None`` for all.
        """
        while True:
            pods = yield from _PATIENCE.retry(lambda: self._source.pods(self._workload))
            pod = self._next(pods)
            if pod is not None:
                yield from self._follow(pod, take, None if self._cursors else first)
            elif (yield from _PATIENCE.retry(lambda: self._source.is_over(self._workload))):
                return
            else:
                yield Sleep(_PAUSE, jitter=0.2)

    def _next(self, pods: Sequence[Object]) -> Object | None:
        """Return the pod to read, once it has started: at first the newest, then one by one."""
        facts = facts_of(pods)
        left = {uid: one for uid, one in facts.items() if uid not in self._done}
        chosen = pods_at([row_of(one) for one in left.values()], self._moment(list(left.values())))
        if not chosen:
            return None
        found = facts[chosen[0]["id"]]
        self._done |= {one["id"] for one in chosen[1:]}
        self._done |= {uid for uid, one in left.items() if one.made < found.made}
        if found.started == NEVER:
            self._done |= {found.uid} if found.end else set()
            return None
        return next(pod for pod in pods if word(pod, "metadata", "uid") == found.uid)

    def _moment(self, left: Sequence[PodFacts]) -> float:
        is_gang = any(one.set_uid for one in left)
        made = [one.made for one in left]
        return min(made, default=0.0) if self._cursors and not is_gang else NEVER

    def _follow(
        self, pod: Object, take: Callable[[Sequence[str]], Flow[None]], first: int | None
    ) -> Flow[None]:
        uid, redaction = word(pod, "metadata", "uid"), redaction_of(pod)
        cursor = self._cursors.setdefault(uid, LogCursor(uid))

        def show(line: LogLine) -> Flow[None]:
            texts = without_secrets([line.text], redaction)
            yield from take((GAP, *texts) if line.has_gap else texts)
            self._cursors[uid] = line.cursor

        try:
            self._cursors[uid] = yield from self._source.ask(
                follow(log_of(pod), cursor, show, first)
            )
        except NotFound:
            self._done.add(uid)
        if uid in self._done or (yield from self._has_ended(uid)):
            self._done.add(uid)
        else:
            yield Sleep(_PAUSE, jitter=0.2)

    def _has_ended(self, uid: str) -> Flow[bool]:
        """Whether a pod's log is complete: it was read to its end, and the pod had ended."""
        pods = yield from _PATIENCE.retry(lambda: self._source.pods(self._workload))
        found = [pod for pod in pods if word(pod, "metadata", "uid") == uid]
        return all(one.end for one in facts_of(found).values())
