"""One look into a log, that is to be taken while a task waits."""

from __future__ import annotations

from airflow_runai.core.json_merge import JsonMapping

#: Seconds until the first look again at an incarnation that leaves.
FIRST_PAUSE = 1.0


class LogLook:
    """
    One look into the log.

    :param moment: epoch seconds at which the incarnation ran.
    :param is_last: the incarnation leaves or has left.
    :param is_late: the next one has begun.
    :param news: of the workload, where people shall see the result.
    :param pause: seconds until the next look, if it still leaves by then.
    """

    __slots__ = ("is_last", "is_late", "moment", "news", "number", "pause")

    def __init__(
        self,
        number: int,
        moment: float,
        *,
        is_last: bool = False,
        is_late: bool = False,
        news: JsonMapping | None = None,
        pause: float = FIRST_PAUSE,
    ) -> None:
        self.news = news
        self.number, self.moment, self.pause = number, moment, pause
        self.is_last, self.is_late = is_last, is_late
