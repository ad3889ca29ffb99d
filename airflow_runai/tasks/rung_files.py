"""
One rung of successive halving, in files that its trials write and all of its gates read.

::

    RUN_ROOT/rungs/0/results/7.json   trial 7 has this score on rung 0
    RUN_ROOT/rungs/0/claims/2.json    this trial is the third that goes on
    RUN_ROOT/rungs/ended/7.json       trial 7 is over: no further result will come

Each is created once and never changed. A rung has as many claims as trials may go on from it, and a
storage lets exactly one trial create each. So no order of gates, repeated or not, lets more go on.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.paths import PathMap
from airflow_runai.core.sweep.halving import PROMOTE, WAIT, budget, decide
from airflow_runai.core.sweep.rung_documents import (
    MAX_BYTES,
    result_text,
    score_in,
    trial_in,
    trial_text,
)
from airflow_runai.errors import InvalidArgument
from airflow_runai.tasks.locations import small_file
from airflow_runai.tasks.storage_errors import storage_errors

if TYPE_CHECKING:
    from airflow_runai.checkpoints.storage.small_files import SmallFile

log = logging.getLogger(__name__)

# Beside the files of all trials, what somebody else may have put there.
_FOREIGN_NAMES = 10_000
_NAME = re.compile(r"(0|[1-9][0-9]{0,5})\.json")


@dataclass(frozen=True)
class RungQuery:
    """
    What one trial asks on one rung; plain JSON.

    :param rung: from 0.
    :param trials: of the sweep.
    :param eta: one of so many goes on.
    :param mode: ``max`` or ``min``: which end of the metric is best.
    """

    rung: int
    trial: int
    trials: int
    eta: int
    metric: str
    mode: str

    def to_json(self) -> JsonObject:
        """Return the constructor's arguments."""
        return asdict(self)


@dataclass
class RungMemory:
    """
    What a wait remembers between looks.

    :param scores: by trial: a result never changes, so it is read once.
    :param named: files that are not ours, and what is wrong with them.
    """

    scores: dict[int, float] = field(default_factory=dict)
    named: set[str] = field(default_factory=set)


class Rung:
    """
    The files of a rung, as one trial reads and writes them.

    Storage libraries raise what they like; :func:`rung_storage` makes errors of ours of it.

    :param folder: of all rungs.
    :param memory: of the looks before.
    """

    def __init__(
        self, query: RungQuery, folder: SmallFile, memory: RungMemory | None = None
    ) -> None:
        self.query = query
        self._root, here = folder, folder.within(str(query.rung))
        self._results, self._claims = here.within("results"), here.within("claims")
        self._limit = budget(query.trials, query.eta, query.rung)
        self._memory = memory or RungMemory()

    def record(self, score: float | None) -> None:
        """
        Write the trial's result; if there is one already, that one stays.

        :raises ValueError: if the file that is there is no result of this trial.
        """
        trial, metric = self.query.trial, self.query.metric
        file = self._results.within(f"{trial}.json")
        try:
            _create(self._root, file, result_text(trial, metric, score))
        except FileExistsError:
            known = self._own(file)
            log.info("the first result counts: %s, and not %s", known, score)

    def _own(self, file: SmallFile) -> float:
        from airflow_runai.checkpoints.storage.directory_handle import WrongKind

        try:
            return score_in(file.read(MAX_BYTES), self.query.trial, self.query.metric)
        except (ValueError, WrongKind) as error:
            words = f"{file}: is no result of trial {self.query.trial} ({error})"
            raise ValueError(f"{words}; remove it, then clear this task") from None

    def look(self) -> str:
        """Decide whether the trial goes on, and change nothing."""
        return self._decide(self._claimed())

    def settle(self) -> str:
        """
        Decide, and claim the next free number if the trial goes on.

        :return: as :func:`decide`; :data:`WAIT` also if another trial was faster.
        """
        claims = self._claimed()
        decision, trial = self._decide(claims), self.query.trial
        if decision != PROMOTE or trial in claims.values():
            return decision
        number = min(set(range(self._limit)) - set(claims))
        try:
            _create(self._root, self._claims.within(f"{number}.json"), trial_text(trial))
        except FileExistsError:
            return WAIT  # the listing may be old, as on NFS: nothing is gained by asking at once
        return PROMOTE

    def _decide(self, claims: Mapping[int, int | None]) -> str:
        scores = self._read_scores()
        final = scores.keys() | self._numbers(self._root.within("ended"))
        sign = 1 if self.query.mode == "max" else -1
        return decide(
            self.query.trial,
            {trial: sign * score for trial, score in scores.items()},
            list(claims.values()),
            limit=self._limit,
            is_over=final >= set(range(self.query.trials)),
            eta=self.query.eta,
        )

    def _read_scores(self) -> Mapping[int, float]:
        for trial in sorted(self._numbers(self._results) - self._memory.scores.keys()):
            if trial < self.query.trials:
                with self._passing_over(self._results.within(f"{trial}.json")) as file:
                    self._memory.scores[trial] = score_in(
                        file.read(MAX_BYTES), trial, self.query.metric
                    )
        return self._memory.scores

    def _claimed(self) -> dict[int, int | None]:
        """Return which trial each claim is of; ``None`` where its file does not say."""
        found: dict[int, int | None] = {}
        for number in sorted(self._numbers(self._claims)):
            if number < self._limit:
                found[number] = None
                with self._passing_over(self._claims.within(f"{number}.json")) as file:
                    found[number] = trial_in(file.read(MAX_BYTES), self.query.trials)
        return found

    @contextmanager
    def _passing_over(self, file: SmallFile) -> Iterator[SmallFile]:
        """Name a file that is not one of ours, once, and go on without it."""
        from airflow_runai.checkpoints.storage.directory_handle import WrongKind

        try:
            yield file
        except FileNotFoundError:
            pass  # removed since it was listed
        except (ValueError, WrongKind) as error:
            words = str(error) if isinstance(error, WrongKind) else f"{file}: {error}"
            if words not in self._memory.named:
                self._memory.named.add(words)
                log.warning("passed over: %s", words)

    def _numbers(self, folder: SmallFile) -> set[int]:
        matches = map(_NAME.fullmatch, folder.names(self.query.trials + _FOREIGN_NAMES))
        return {int(match[1]) for match in matches if match}


def trial_number(value: object, trials: int) -> int:
    """
    Return a trial's number, which may come from a template.

    :raises InvalidArgument: if the sweep has no such trial.
    """
    text = str(value)
    if not re.fullmatch(r"[0-9]{1,6}", text) or int(text) >= trials:
        raise InvalidArgument([f"trial: {value!r}; allowed: a whole number from 0 to {trials - 1}"])
    return int(text)


def end_trial(folder: SmallFile, trial: int) -> None:
    """Say that no further result of a trial will come; ``folder`` is that of all rungs."""
    # Whatever is there under this name says the same.
    with suppress(FileExistsError):
        _create(folder, folder.within("ended").within(f"{trial}.json"), trial_text(trial))


def _create(folder: SmallFile, file: SmallFile, text: str) -> None:
    from airflow_runai.checkpoints.storage.exclusive import prove_exclusive

    if not folder.is_mounted:
        prove_exclusive(folder.within("exclusive").path)
    file.create(text)


@contextmanager
def rung_storage(
    folder: str, path_map: PathMap | None, storage_conn_id: str | None
) -> Iterator[SmallFile]:
    """
    Open the folder of all rungs; the parameters are those of ``location``.

    :raises NoValidCheckpoint: in the block, for a storage that cannot tell which of two trials was
        the first, and for a result that is not one.
    :raises CheckpointUnreadable: in the block, if the storage fails now.
    """
    root = small_file(folder, path_map, storage_conn_id)
    advice = "two trials could make the same claim there; put run_root"
    with storage_errors(root, storage_conn_id, advice):
        yield root
