"""How the log of a workload is read, whatever the platform: a protocol, and what a look finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, Protocol

from airflow_runai.core.flow import Flow
from airflow_runai.core.log_cursor import LogLine
from airflow_runai.core.log_lines import LogPosition
from airflow_runai.core.texts import plural
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Unreachable

#: Of one look into a log: lines, and characters of all of them, that are shown.
LINES, CHARACTERS = 100, 32_768
#: Lines of one look that are compared with the look before.
WINDOW = 1000


@dataclass(frozen=True)
class LogQuery:
    """
    Which part of which log.

    :param tail: lines from the end; ``None`` for as many as are kept.
    :param since: only what was written in so many seconds, if the server can tell.
    :param pod: default: the server's choice, which is the leader.
    :param previous: of the container that ran before the present one.
    """

    tail: int | None = None
    since: int | None = None
    pod: str | None = None
    container: str | None = None
    previous: bool = False


@dataclass(frozen=True, slots=True)
class LogText:
    """
    What a server has sent of a log.

    :param lines: oldest first.
    :param is_whole: the first of them is the log's first line.
    """

    lines: tuple[str, ...]
    is_whole: bool


@dataclass(frozen=True, slots=True)
class MemberEnd:
    """
    The end of the log of one pod of several.

    :param node: empty if it is not known.
    :param lines: masked.
    """

    pod: str
    node: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LogPart:
    """
    What a look into a log shows.

    :param lines: masked.
    :param place: where the next look goes on.
    :param has_gap: lines before these may not have been seen.
    :param left_out: lines before these that were seen, and are too many to be shown.
    :param node: empty if it is not known.
    :param end: the newest lines, seen before or not, masked.
    :param members: the ends of other pods, which have failed.
    """

    lines: tuple[str, ...]
    place: LogPosition
    has_gap: bool = False
    left_out: int = 0
    node: str = ""
    end: tuple[str, ...] = ()
    members: tuple[MemberEnd, ...] = ()

    def as_sentences(self, title: str) -> list[str]:
        """Return the lines of a task log; none if the part is empty."""
        return _section(title, self.node, [*self._remarks(), *self.lines] if self.lines else [])

    def with_members(self, title: str) -> tuple[list[str], list[str]]:
        """Return the same, and that of the other pods, each with its own title."""
        sections = (_section(f"{title}, pod {m.pod}", m.node, m.lines) for m in self.members)
        return self.as_sentences(title), [line for section in sections for line in section]

    def whole_end(self) -> LogPart:
        """Return the newest lines as a part of their own, whether they were seen before or not."""
        return replace(self, lines=self.end, has_gap=False, left_out=0)

    def _remarks(self) -> Iterator[str]:
        if self.has_gap:
            yield "(lines may be missing here)"
        if self.left_out:
            yield f"({plural(self.left_out, 'more line')} before these)"


def _section(title: str, node: str, lines: Sequence[str]) -> list[str]:
    where = f" on {node}" if node else ""
    return [f"{title}{where}:", *(f"| {line}" for line in lines)] if lines else []


@dataclass(frozen=True, slots=True)
class UnmaskedPart:
    """
    What a look into a log has found; not to be shown yet.

    :param moment: epoch seconds at which the incarnation ran whose log it is meant to be.
    :param at: epoch seconds; it is the log of what ran or left then.
    :param lines: the newest ones, seen before or not.
    :param new: so many of them, from the end, are to be shown.
    :param part: what is to be shown, without its texts.
    """

    moment: float
    at: float
    lines: tuple[str, ...]
    new: int
    part: LogPart

    @property
    def characters(self) -> int:
        """How much memory it takes."""
        return sum(map(len, self.lines))


class LogReader(Protocol):
    """
    Reads the log of one workload, each call as a flow.

    A look has two halves. The first is the download, which a pod that is about to go does not wait
    for. The second asks for what it takes to show it, which may take its time.
    """

    __slots__ = ()

    #: Whether :meth:`listen` and :meth:`follow` can do anything.
    has_streams: ClassVar[bool] = False

    @property
    def workload(self) -> Workload:
        """Whose log it is."""

    def look(self, moment: float, seen: LogPosition | None = None) -> Flow[LogPart]:
        """
        Return the end of the log, or what is new in it.

        :param moment: epoch seconds at which the incarnation ran.
        :param seen: how far it was seen; ``None`` for the end alone.
        :raises NotFound: if the log is gone with its pod.
        """
        found = yield from self.read(moment, seen)
        return (yield from self.shown(found))

    def read(
        self, moment: float, seen: LogPosition | None = None, *, late: bool = False
    ) -> Flow[UnmaskedPart]:
        """
        Do the first half of a look.

        :param late: the next incarnation has begun; so ask for the pod of that moment.
        """

    def outage(self, error: Unreachable) -> str:
        """
        Tell what keeps everybody from the logs of this cluster.

        :param error: what :meth:`read` has raised.
        :return: an empty text for the trouble of one workload, or of others than the cluster.
        """

    def shown(self, found: UnmaskedPart) -> Flow[LogPart]:
        """Do the second half of a look, which holds up nothing that others ask for."""

    def listen(self, moment: float, take: Callable[[LogLine], None]) -> Flow[None]:
        """
        Hand over what follows the last :meth:`read` of this moment, until the pod has ended.

        It ends early where more is written than it takes: then read again.

        :param take: gets lines that are not to be shown before :meth:`shown`.
        :raises NotFound: if the pod is gone.
        """
        yield from ()

    def text(self, query: LogQuery) -> Flow[LogText]:
        """Return lines as the server has them; not to be shown before :meth:`masked`."""

    def masked(self, lines: Sequence[str]) -> Flow[tuple[str, ...]]:
        """Return lines as they may be shown."""

    def follow(
        self, take: Callable[[Sequence[str]], Flow[None]], first: int | None = None
    ) -> Flow[bool]:
        """
        Hand over each line as it comes, over interruptions, until the workload has ended.

        :param take: gets lines as they may be shown.
        :param first: so many of those that are there already; ``None`` for all.
        :return: whether the platform has such a stream; without one nothing was handed over.
        """
        yield from ()
        return False
