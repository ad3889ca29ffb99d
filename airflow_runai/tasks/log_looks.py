"""One look into a log, that is to be taken while a task waits."""

from __future__ import annotations

from math import inf

from airflow_runai.core.json_merge import JsonMapping

#: Seconds until the first look again at an incarnation that leaves.
FIRST_PAUSE = 1.0


class LogLook:
    """
    One look into the log; the last one is taken again and again while the incarnation leaves.

    :param number: of the incarnation; before it is told, the last that was known to run.
    :param moment: epoch seconds at which the incarnation ran.
    :param is_last: the incarnation leaves or has left.
    :param is_told: the history has told which incarnation it is.
    :param news: of the workload, where people shall see the result.
    :ivar until: epoch seconds at which the next one began; infinite if it has not.
    :ivar pause: seconds until it is taken again, if the incarnation still leaves by then.
    """

    __slots__ = ("is_last", "is_told", "moment", "news", "number", "pause", "until")

    def __init__(
        self,
        number: int,
        moment: float,
        *,
        is_last: bool = False,
        is_told: bool = True,
        news: JsonMapping | None = None,
    ) -> None:
        self.number, self.moment = number, moment
        self.is_last, self.is_told, self.news = is_last, is_told, news
        self.until, self.pause = inf, FIRST_PAUSE

    @property
    def is_first(self) -> bool:
        """Whether it was not taken yet."""
        return self.pause == FIRST_PAUSE

    @property
    def is_late(self) -> bool:
        """Whether the next incarnation has begun."""
        return self.until < inf

    @property
    def is_urgent(self) -> bool:
        """Whether the log may soon be gone, and was not read yet."""
        return self.is_last and self.is_first

    def late(self) -> LogLook:
        """Return the look that reads the same by the name of its pod."""
        late = LogLook(self.number, self.moment, is_last=True, news=self.news)
        late.until = self.until
        return late
