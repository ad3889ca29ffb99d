"""
What an operator, a sensor and a trigger share when they choose a checkpoint: one question in plain JSON, one answer.

Blocking; on an event loop it runs in a thread. What is not found yet is told apart from what never
will be by the type of the error.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_runai.core.paths import to_container
from airflow_runai.core.texts import printable
from airflow_runai.errors import CheckpointUnreadable, NoValidCheckpoint, SpecError
from airflow_runai.tasks.locations import (
    location,
    refuse_missing_connection,
    small_file,
    untrusted_below,
    without_connection,
)
from airflow_runai.tasks.query_checks import check_accept

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_runai.checkpoints import Ledger, Report, Requirements, RootProblem, Selection
    from airflow_runai.checkpoints.storage.progress import Progress
    from airflow_runai.checkpoints.storage.small_files import SmallFile

log = logging.getLogger(__name__)

#: A result goes to XCom: no more refused checkpoints than this are listed in it (the log and the
#: report have all).
MOST_REFUSED = 20
#: Characters of what is only shown; findings quote the names of files.
LONGEST_REASONS = 2000
#: Between two lines in the log about a check that takes long.
PROGRESS_SECONDS = 30.0


class CheckpointNotFoundYet(CheckpointUnreadable):
    """There is no checkpoint, and there may be one later."""


_NOT_YET = {
    "root-missing": CheckpointNotFoundYet,
    "root-empty": CheckpointNotFoundYet,
    "root-unreadable": CheckpointUnreadable,
}


@dataclass(frozen=True)
class CheckpointQuery:
    """Which checkpoint is wanted; the fields mean what they mean in :class:`RunaiSelectCheckpointOperator`."""

    root: str
    path_map: Mapping[str, str] | None = None
    storage_conn_id: str | None = None
    level: int = 3
    accept_unverifiable: bool = False
    strict: bool = False
    accept: Sequence[str] = ()
    min_step: int | str | None = None
    requirements: Mapping[str, Any] | str | None = None
    report_path: str | None = None

    @classmethod
    def of(cls, task: object) -> CheckpointQuery:
        """Take the fields from an operator's attributes."""
        given = {name: getattr(task, name) for name in cls.__dataclass_fields__}
        if not isinstance(given["accept"], str):
            given["accept"] = sorted(
                given["accept"]
            )  # JSON, and a trigger's arguments, know no sets
        return cls(**given)

    def to_json(self) -> dict[str, Any]:
        """Render as plain JSON data: the arguments that make it again."""
        return {**asdict(self), "accept": list(self.accept)}

    def place(self) -> Any:
        """Where the checkpoints lie, for this machine."""
        return location(self.root, self.path_map, self.storage_conn_id)

    def report_file(self) -> SmallFile | None:
        """Where the full report lies, or ``None``."""
        return (
            small_file(self.report_path, self.path_map, self.storage_conn_id)
            if self.report_path
            else None
        )

    def untrusted_below(self) -> Path | None:
        """Return the directory from which on no link is followed to where the checkpoints lie."""
        return untrusted_below(self.root, self.path_map)

    def required(self) -> Requirements:
        """
        What is asked of a checkpoint beside being whole.

        :raises SpecError: for what cannot be met.
        :raises CheckpointUnreadable: when the file that says it cannot be read now.
        """
        # Imported here, and below: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints import RequirementError

        least = self._least_step()
        try:
            asked = self._stated_requirements()
            if least is not None and asked.min_step not in (None, least):
                raise RequirementError(
                    [f"min_step: {asked.min_step} here, and {least} beside it; name it once"]
                )
            return asked if least is None else replace(asked, min_step=least)
        except RequirementError as error:
            raise SpecError([f"requirements: {problem}" for problem in error.problems]) from error

    def _stated_requirements(self) -> Requirements:
        from airflow_runai.checkpoints import RequirementError, Requirements
        from airflow_runai.checkpoints.checking.reader import unreadable
        from airflow_runai.checkpoints.choosing.report_file import read_requirements

        if not isinstance(self.requirements, str):
            return Requirements.from_mapping(self.requirements or {})
        try:
            return read_requirements(
                small_file(self.requirements, self.path_map, self.storage_conn_id)
            )
        except (RequirementError, SpecError):
            raise
        except Exception as error:  # storage libraries raise what they like
            raise CheckpointUnreadable(
                f"requirements: {self.requirements}: {unreadable(error)}"
            ) from error

    def _least_step(self) -> int | None:
        if self.min_step in (None, "", "None"):
            return None
        try:
            return int(str(self.min_step))
        except ValueError:
            raise SpecError(
                [f"min_step: {self.min_step!r}; allowed: a whole number, or nothing"]
            ) from None

    def mark(self) -> str:
        """
        Return a short text that changes with the checkpoints that may be chosen, and with what is wanted.

        :raises CheckpointUnreadable: if there is nothing yet, or nobody can look.
        :raises NoValidCheckpoint: if there never will be anything.
        """
        from airflow_runai.checkpoints import RootProblem
        from airflow_runai.checkpoints.choosing.fingerprint import root_fingerprint

        try:
            seen = root_fingerprint(self.place(), least_step=self.required().least_step)
        except RootProblem as error:
            raise self._no_root(error, _NOT_YET) from error
        return hashlib.sha256(f"{seen} {self!r}".encode()).hexdigest()

    def select(self, progress: Callable[[int], None] | None = None) -> Selection:
        """
        Choose, compare with the ledger of the last report, and write the new report.

        :param progress: told the number of bytes read of the current checkpoint; what it raises
            ends the reading.
        :raises NoValidCheckpoint: if the root cannot be used, or the report is none.
        """
        from airflow_runai.checkpoints import RootProblem, select

        check_accept(self.accept)
        requirements, ledger = self.required(), self._ledger()
        try:
            found = select(
                self.place(),
                level=self.level,
                accept_unverifiable=self.accept_unverifiable,
                strict=self.strict,
                accept=tuple(self.accept),
                requirements=requirements,
                ledger=ledger,
                progress=progress,
            )
        except RootProblem as error:
            raise self._no_root(error, {"root-unreadable": CheckpointUnreadable}) from error
        self._report(found, ledger)
        return found

    def _no_root(
        self, error: RootProblem, kinds: Mapping[str, type[NoValidCheckpoint]]
    ) -> NoValidCheckpoint:
        if error.code == "root-unreadable":
            refuse_missing_connection(self.storage_conn_id)
        return kinds.get(error.code, NoValidCheckpoint)(str(error))

    def _ledger(self) -> Ledger | None:
        """What the last report remembers; learns before anything is read whether the next can be written."""
        from airflow_runai.checkpoints.choosing.report_file import read_ledger

        file = self.report_file()
        try:
            if file is None:
                return None
            file.make_room()
            return read_ledger(file)
        except ValueError as error:
            raise NoValidCheckpoint(f"report_path: {error}") from error
        except Exception as error:  # storage libraries raise what they like
            raise self._no_report(error) from error

    def _report(self, found: Selection, ledger: Ledger | None) -> None:
        from airflow_runai.checkpoints.choosing.report_file import write_report

        file = self.report_file()
        try:
            if file is not None:
                write_report(file, found, ledger)
        except Exception as error:
            raise self._no_report(error) from error

    def _no_report(self, error: Exception) -> CheckpointUnreadable:
        from airflow_runai.checkpoints.checking.reader import cause

        advice = "name a file in a folder that this worker may write to, or look again when the storage answers"
        return CheckpointUnreadable(
            f"report_path: {self.report_path} cannot be used ({cause(error)}); {advice}"
        )

    def result(
        self, selection: Selection, aside: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """
        Return what goes to XCom: small, and the container's name for the chosen checkpoint beside the worker's.

        :param aside: what was put aside: from where, and to where.
        :raises NoValidCheckpoint: if its name could not be handed on; databases refuse some
            characters.
        """
        chosen = selection.chosen
        assert chosen is not None, "nothing was chosen"
        uri = self._uri(chosen)
        if not uri.isprintable():
            raise NoValidCheckpoint(
                f"{uri!a}: is good, but its name holds characters that do not print; rename it"
            )
        return {
            "path": to_container(uri, self.path_map or {}),
            "uri": uri,
            "step": chosen.step,
            "digest": chosen.digest,
            "format": chosen.format,
            "verdict": str(chosen.verdict),
            "bytes": chosen.bytes,
            "refused": [
                self._refused(report, aside or {}) for report in selection.rejected[:MOST_REFUSED]
            ],
            **({"report": self.report_path} if self.report_path else {}),
        }

    def _uri(self, report: Report) -> str:
        return without_connection(report.path, self.storage_conn_id)

    def _refused(self, report: Report, aside: Mapping[str, str]) -> dict[str, Any]:
        told = {
            "path": printable(self._uri(report), LONGEST_REASONS),
            "verdict": str(report.verdict),
            "reasons": reasons(report),
        }
        return {**told, **({"quarantined": aside[report.path]} if report.path in aside else {})}


def telling(clock: Callable[[], float] = time.monotonic) -> Progress:
    """
    Make what tells the log how far a long check is.

    :param clock: seconds that only rise; asked at every chunk, so what it raises ends the reading.
    """
    from airflow_runai.checkpoints.storage.progress import Progress, sentence

    return Progress(
        lambda moment: log.info("%s", sentence(moment)), every=PROGRESS_SECONDS, clock=clock
    )


def reasons(report: Report) -> str:
    """Why a checkpoint was not taken, in one line: its errors, or else what it did not meet."""
    errors = [f.message for f in report.findings if f.severity == "error"] or [
        f.message for f in report.findings[-3:]
    ]
    return printable(f"{report.verdict} ({'; '.join(errors[:3])})", LONGEST_REASONS)


def no_valid_checkpoint(root: str, selection: Selection) -> NoValidCheckpoint:
    """Say that none was accepted and why; trying again helps only where something could not be decided."""
    looked = "; ".join(f"{r.path}: {reasons(r)}" for r in selection.rejected[:5])
    words = f"{root}: none of {len(selection.rejected)} checkpoints passed: {looked or 'there was no candidate'}"
    advice = selection.advice("accept_unverifiable=True")
    words += f"; {advice}" if advice else ""
    undecided = any(report.transient for report in selection.rejected)
    return CheckpointUnreadable(words) if undecided else NoValidCheckpoint(words)


def put_aside(selection: Selection, search: CheckpointQuery) -> dict[str, str]:
    """
    Quarantine what was found bad above the chosen one; without a chosen one nothing is moved.

    :param search: what was chosen by.
    :return: from where, and to where.
    """
    from airflow_runai.checkpoints.keeping.quarantine import BAD, QuarantineProblem, quarantine

    moved, root, below = {}, search.place(), search.untrusted_below()
    for report in selection.rejected if selection.chosen is not None else ():
        if report.verdict not in BAD:
            continue
        try:
            moved[report.path] = str(
                quarantine(root / report.path.rpartition("/")[2], report, below=below)
            )
        except QuarantineProblem as problem:
            log.warning("%s", problem)
        else:
            log.warning("%s was put aside: %s", report.path, moved[report.path])
    return moved
