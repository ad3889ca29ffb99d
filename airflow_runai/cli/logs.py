"""
``airflow runai logs``: a workload's log, from the API of its cluster.

Where that cannot be had, the other ways to it: Run:ai's own command line, its pages, ``kubectl``.
"""

from __future__ import annotations

import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from airflow_runai.backends import drivers
from airflow_runai.cli.connections import hook_for
from airflow_runai.cli.exit_codes import UsageError, command
from airflow_runai.cli.output import serialize
from airflow_runai.core.flow import Flow
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.log_lines import LogPosition, growth
from airflow_runai.core.log_reader import WINDOW, LogQuery, LogReader, LogText
from airflow_runai.core.phases import OVER
from airflow_runai.core.project import Project
from airflow_runai.core.texts import exact
from airflow_runai.core.workload import Workload
from airflow_runai.errors import NotFound, RunaiError, Unreachable
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import workload_page

#: Seconds between two looks of ``--follow``.
PAUSE = 2.0
#: Looks in a row that ``--follow`` may lose.
PATIENCE = 30
_DURATION = re.compile(r"(\d{1,9})([smhd])")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@command
def main(arguments: Namespace) -> int:
    """Print the log; exit code 1, and the other ways to it, if it cannot be read."""
    query, hook = _query(arguments), hook_for(arguments.conn)
    is_document = arguments.output in ("json", "yaml")
    if is_document and arguments.follow:
        raise UsageError("--follow: together with -o; allowed: -o plain, or without --follow")
    name = arguments.project or hook.settings.project
    if name is None:
        raise UsageError("--project: missing; the connection names none")
    project = hook.run(hook.backend.find_project(name, hook.settings.cluster))
    workload = hook.run(hook.backend.resolve(project, arguments.workload))
    reader = _Reader(hook, hook.backend.log(workload), query)
    if is_document:
        return _print_document(reader, project, arguments.output)
    try:
        if arguments.follow and reader.stream():
            return 0
        for line in reader.followed() if arguments.follow else reader.read():
            print(line, flush=arguments.follow)
    except RunaiError as error:
        print(f"error: the log cannot be read: {error}", file=sys.stderr)
        print(_text(workload, _ways(hook, project, workload)))
        return 1
    return 0


def _query(arguments: Namespace) -> LogQuery:
    return LogQuery(
        tail=None if arguments.tail < 0 else arguments.tail,
        since=_seconds(arguments.since) if arguments.since else None,
        pod=arguments.pod,
        container=arguments.container,
        previous=arguments.previous,
    )


def _seconds(text: str) -> int:
    match = _DURATION.fullmatch(text)
    if match is None:
        raise UsageError(
            f"--since: {text!r}; allowed: a whole number with s, m, h or d, such as 10m"
        )
    return int(match[1]) * _UNITS[match[2]]


@dataclass(frozen=True)
class _Reader:
    """Reads one log."""

    hook: RunaiHook
    log: LogReader
    query: LogQuery

    def read(self) -> Sequence[str]:
        """Return its lines."""
        return self._masked(self._text(self.query).lines)

    def stream(self) -> bool:
        """Print its lines at the moment they come; return whether the platform can do that."""
        query = self.query
        if query != LogQuery(tail=query.tail):
            return False  # of one pod, one container or some time only
        return self.hook.run(self.log.follow(_print, query.tail))

    def followed(self) -> Iterator[str]:
        """Yield its lines as they come, over preemptions, until the workload has ended."""
        place: LogPosition | None = None
        failures = 0
        while True:
            try:
                is_over = self._is_over()
                lines, place = self._next(place, is_over=is_over)
            except Unreachable as error:
                failures += 1
                if place is None or failures > PATIENCE:
                    raise
                if failures == 1:
                    print(f"the log cannot be read now: {error}; trying again", file=sys.stderr)
            else:
                failures = 0
                yield from lines
                if is_over:
                    return
            drivers.pause(PAUSE)

    def _next(
        self, place: LogPosition | None, *, is_over: bool
    ) -> tuple[Sequence[str], LogPosition]:
        """Return what is new, and where it ends."""
        try:
            if place is None:
                return self._begin()
            text = self._text(replace(self.query, tail=WINDOW, since=None))
        except NotFound:
            if is_over:
                raise
            return [], LogPosition()  # it waits for its next incarnation
        new = growth(place, text.lines, is_whole=text.is_whole)
        gap = ["(lines may be missing here)"] * new.has_gap
        return [*gap, *self._masked(new.lines)], new.place

    def _begin(self) -> tuple[Sequence[str], LogPosition]:
        """Return what was asked for; what is older than that is no news later, either."""
        query = self.query
        tail = None if query.tail is None else max(query.tail, WINDOW)
        text = self._text(replace(query, tail=tail, since=None))
        place = growth(LogPosition(), text.lines, is_whole=text.is_whole).place
        if query.since is not None:
            text = self._text(query)
            place = growth(place, text.lines, is_whole=text.is_whole).place
        first = 0 if query.tail is None else max(0, len(text.lines) - query.tail)
        return self._masked(text.lines[first:]), place

    def _text(self, query: LogQuery) -> LogText:
        return self.hook.run(self.log.text(query))

    def _masked(self, lines: Sequence[str]) -> tuple[str, ...]:
        return self.hook.run(self.log.masked(lines))

    def _is_over(self) -> bool:
        workload = self.log.workload
        reader = self.hook.backend.reader(workload)
        try:
            return self.hook.run(reader.read(workload.id)).meaning in OVER
        except NotFound:
            return True


def _print(lines: Sequence[str]) -> Flow[None]:
    yield from ()
    for line in lines:
        print(line, flush=True)


def _print_document(reader: _Reader, project: Project, output: str) -> int:
    workload, lines, problem = reader.log.workload, None, None
    try:
        lines = list(reader.read())
    except RunaiError as error:
        problem = str(error)
    ways = _ways(reader.hook, project, workload)
    head = {"name": workload.name, "phase": workload.phase, "logs": lines, "error": problem}
    print(serialize({**head, **ways}, output), end="")
    return 0 if problem is None else 1


def _ways(hook: RunaiHook, project: Project, workload: Workload) -> JsonObject:
    quote = shlex.quote
    runai = f"runai training logs {quote(workload.name)} -p {quote(project.name)}"
    kubectl = f"kubectl logs -n {quote(project.namespace or 'NAMESPACE')}"
    return {
        # Other types of workloads have subcommands of their own.
        "runai": runai if workload.path == "trainings" else None,
        "page": workload_page(hook.settings, workload, project.name),
        "kubectl": [f"{kubectl} {quote(pod)}" for pod in _pods(hook, workload)],
    }


def _pods(hook: RunaiHook, workload: Workload) -> list[str]:
    try:
        pods = hook.run(hook.backend.pods(workload))
        return [exact(pod.get("name"), "pod's name") for pod in pods]
    except RunaiError:
        return []  # the other two ways remain


def _text(workload: Workload, ways: JsonMapping) -> str:
    commands = [line for line in (ways["runai"], *ways["kubectl"]) if line]
    return "\n".join(
        [
            f"{workload.name} ({workload.phase}): other ways to its log are",
            *(f"  {line}" for line in commands),
            f"and {ways['page']}",
        ]
    )
