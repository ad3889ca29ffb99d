"""
A query for a checkpoint, shared by operator, sensor and trigger: plain JSON in, one selection out.

It blocks; on an event loop it runs in a thread. The type of an error says whether a checkpoint may
appear later.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.paths import PathMap
from airflow_runai.core.texts import listed
from airflow_runai.errors import CheckpointUnreadable, InvalidArgument, NoValidCheckpoint
from airflow_runai.tasks.checkpoint_result import reasons, selection_result
from airflow_runai.tasks.locations import (
    location,
    refuse_missing_connection,
    small_file,
    untrusted_below,
)
from airflow_runai.tasks.missing_paths import why_missing
from airflow_runai.tasks.query_checks import check_accept

if TYPE_CHECKING:
    from pathlib import Path

    from airflow_runai.checkpoints import Ledger, Requirements, RootProblem, Selection
    from airflow_runai.checkpoints.storage.progress import Progress
    from airflow_runai.checkpoints.storage.small_files import SmallFile

log = logging.getLogger(__name__)

#: Seconds between two lines in the log about a long check.
PROGRESS_SECONDS = 30.0


class CheckpointNotFoundYet(CheckpointUnreadable):
    """There is no checkpoint yet; one may appear later."""


_NOT_YET = {
    "root-missing": CheckpointNotFoundYet,
    "root-empty": CheckpointNotFoundYet,
    "root-unreadable": CheckpointUnreadable,
}


@dataclass(frozen=True)
class CheckpointQuery:
    """The checkpoint to find; :class:`RunaiSelectCheckpointOperator` documents the fields."""

    root: str
    path_map: PathMap | None = None
    storage_conn_id: str | None = None
    level: int = 3
    accept_unverifiable: bool = False
    strict: bool = False
    accept: Sequence[str] = ()
    min_step: int | str | None = None
    requirements: JsonMapping | str | None = None
    report_path: str | None = None

    @classmethod
    def of(cls, task: object) -> CheckpointQuery:
        """Take the fields from an operator's attributes."""
        values = {name: getattr(task, name) for name in cls.__dataclass_fields__}
        if not isinstance(values["accept"], str):
            # A trigger's arguments are JSON, which knows no sets.
            values["accept"] = sorted(values["accept"])
        return cls(**values)

    def to_json(self) -> JsonObject:
        """Return the constructor's arguments as plain JSON data."""
        return {**asdict(self), "accept": list(self.accept)}

    def place(self) -> Any:
        """Return the root as this machine reaches it."""
        return location(self.root, self.path_map, self.storage_conn_id)

    def report_file(self) -> SmallFile | None:
        """Return the file for the full report, or ``None``."""
        if not self.report_path:
            return None
        return small_file(self.report_path, self.path_map, self.storage_conn_id)

    def untrusted_below(self) -> Path | None:
        """Return the directory below which no link is followed on the way to the root."""
        return untrusted_below(self.root, self.path_map)

    def required(self) -> Requirements:
        """
        Return the requirements, ``min_step`` among them.

        :raises InvalidArgument: for requirements that cannot be met.
        :raises CheckpointUnreadable: if the file with them cannot be read now.
        """
        # Imported here, and below: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints import RequirementError

        min_step = self._min_step()
        try:
            stated = self._stated_requirements()
            if min_step is None:
                return stated
            if stated.min_step not in (None, min_step):
                raise RequirementError(
                    [f"min_step: {stated.min_step} here, and {min_step} beside it; name it once"]
                )
            return replace(stated, min_step=min_step)
        except RequirementError as error:
            raise InvalidArgument(
                [f"requirements: {problem}" for problem in error.problems]
            ) from error

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
        except (RequirementError, InvalidArgument):
            raise
        except Exception as error:  # storage libraries raise what they like
            raise CheckpointUnreadable(
                f"requirements: {self.requirements}: {unreadable(error)}"
            ) from error

    def _min_step(self) -> int | None:
        if self.min_step in (None, "", "None"):
            return None
        try:
            return int(str(self.min_step))
        except ValueError:
            raise InvalidArgument(
                [f"min_step: {self.min_step!r}; allowed: a whole number, or nothing"]
            ) from None

    def mark(self) -> str:
        """
        Return a text that changes with the query and with the checkpoints that it may choose.

        :raises CheckpointUnreadable: if there is no checkpoint yet, or the root cannot be read.
        :raises NoValidCheckpoint: if there cannot ever be one.
        """
        from airflow_runai.checkpoints import RootProblem
        from airflow_runai.checkpoints.choosing.fingerprint import root_fingerprint

        try:
            root = root_fingerprint(self.place(), least_step=self.required().least_step)
        except RootProblem as error:
            raise self._no_root(error, _NOT_YET) from error
        # The repr holds every field: another query never looks unchanged.
        return hashlib.sha256(f"{root} {self!r}".encode()).hexdigest()

    def select(self, progress: Callable[[int], None] | None = None) -> Selection:
        """
        Choose, compare with the ledger of the last report, and write the new report.

        :param progress: called with the number of bytes read of the current checkpoint; an
            exception from it ends the reading.
        :raises NoValidCheckpoint: if the root or the report cannot be used.
        """
        from airflow_runai.checkpoints import RootProblem, select

        check_accept(self.accept)
        requirements, ledger = self.required(), self._ledger()
        try:
            selection = select(
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
        self._write_report(selection, ledger)
        return selection

    def _no_root(
        self, error: RootProblem, errors: Mapping[str, type[NoValidCheckpoint]]
    ) -> NoValidCheckpoint:
        # A connection that is missing looks like a storage that does not answer.
        if error.code == "root-unreadable":
            refuse_missing_connection(self.storage_conn_id)
        words = str(error)
        if error.code == "root-missing":
            words += why_missing(self.root, self.path_map, self.storage_conn_id)
        return errors.get(error.code, NoValidCheckpoint)(words)

    def _ledger(self) -> Ledger | None:
        """Return the ledger of the last report; check first that the next one can be written."""
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

    def _write_report(self, selection: Selection, ledger: Ledger | None) -> None:
        from airflow_runai.checkpoints.choosing.report_file import write_report

        file = self.report_file()
        try:
            if file is not None:
                write_report(file, selection, ledger)
        except Exception as error:
            raise self._no_report(error) from error

    def _no_report(self, error: Exception) -> CheckpointUnreadable:
        from airflow_runai.checkpoints.checking.reader import cause

        return CheckpointUnreadable(
            f"report_path: {self.report_path} cannot be used ({cause(error)}); name a file in a "
            "folder that this worker may write to, or try again when the storage answers"
        )

    def result(
        self, selection: Selection, quarantined: Mapping[str, str] | None = None
    ) -> JsonObject:
        """Return the task's result; see :func:`selection_result`."""
        result = selection_result(
            selection, self.path_map or {}, self.storage_conn_id, quarantined or {}
        )
        return {**result, "report": self.report_path} if self.report_path else result


def progress_logger(clock: Callable[[], float] = time.monotonic) -> Progress:
    """
    Return a progress callback that logs how far a long check is.

    :param clock: monotonic seconds, asked at every chunk; an exception from it ends the reading.
    """
    from airflow_runai.checkpoints.storage.progress import Progress, sentence

    return Progress(
        lambda moment: log.info("%s", sentence(moment)), every=PROGRESS_SECONDS, clock=clock
    )


def no_valid_checkpoint(root: str, selection: Selection) -> NoValidCheckpoint:
    """Return the error for an empty selection; a retry may help if a report is transient."""
    refused = [f"{report.path}: {reasons(report)}" for report in selection.rejected[:5]]
    count = len(selection.rejected)
    none = (
        "the only checkpoint did not pass" if count == 1 else f"none of {count} checkpoints passed"
    )
    words = listed(f"{root}: {none}", refused or ["there was no candidate"])
    if advice := selection.advice("accept_unverifiable=True"):
        words += f"\n{advice}"
    if any(report.transient for report in selection.rejected):
        return CheckpointUnreadable(words)
    return NoValidCheckpoint(words)


def quarantine_rejected(selection: Selection, query: CheckpointQuery) -> dict[str, str]:
    """
    Quarantine the bad checkpoints that are newer than the chosen one; without one, move nothing.

    :return: the paths of moved checkpoints before and after the move.
    """
    from airflow_runai.checkpoints.keeping.quarantine import BAD, QuarantineProblem, quarantine

    if selection.chosen is None:
        return {}
    moved: dict[str, str] = {}
    root, below = query.place(), query.untrusted_below()
    for report in selection.rejected:
        # The path in a report may carry the connection's id; its name is the same everywhere.
        checkpoint = root / report.path.rpartition("/")[2]
        try:
            if report.verdict in BAD:
                moved[report.path] = str(quarantine(checkpoint, report, below=below))
                log.warning("%s was quarantined: %s", report.path, moved[report.path])
        except QuarantineProblem as problem:
            log.warning("%s", problem)
    return moved
