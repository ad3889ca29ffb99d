"""
Decides which checkpoints may be removed: old ones that are not needed.

Never removed: the newest valid one (a resumed training starts from it) and everything newer, the
champion, what is leased (:mod:`~airflow_runai.checkpoints.keeping.leases`), what is named to be
kept, what is being written, and what cannot be read. If no valid one is found, nothing is removed.
Local and mounted file systems only: without a rename, a torn removal would look like a checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from itertools import islice, takewhile
from pathlib import Path
from typing import Any, TypeGuard

from airflow_runai.checkpoints.checking.findings import Verdict, not_acceptable
from airflow_runai.checkpoints.checking.reader import cause
from airflow_runai.checkpoints.checking.report import Report
from airflow_runai.checkpoints.checking.request import Policy
from airflow_runai.checkpoints.choosing.roots import Candidate, candidates
from airflow_runai.checkpoints.choosing.verification import check
from airflow_runai.checkpoints.keeping.champion import read_champion
from airflow_runai.checkpoints.keeping.champion_history import ChampionHistory
from airflow_runai.checkpoints.keeping.leases import leased
from airflow_runai.checkpoints.storage.checkpoint_files import list_checkpoint
from airflow_runai.checkpoints.storage.listing import Location
from airflow_runai.checkpoints.storage.small_files import FilePlace
from airflow_runai.errors import RunaiError

_UNDECIDED = (Verdict.UNKNOWN, Verdict.IN_PROGRESS)


class RetentionProblem(RunaiError, ValueError):
    """
    Nothing was removed: the rules contradict themselves, or it is not known what is needed.

    :param problems: all mistakes, each with its place, what was found and what is allowed.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Retention:
    """
    Rules for what is kept, beside what is never removed.

    :param keep_last: number of newest valid checkpoints to keep (>= 1).
    :param keep_best: number of valid checkpoints with the best metric to keep.
    :param metric: name of the metric, in the manifest.
    :param metric_mode: ``max`` keeps the highest values of the metric, ``min`` the lowest.
    :param keep_names: names or patterns (``step-*0000``) that are always kept.
    :param level: how deep a checkpoint is checked to count as valid, 0 to 3.
    :param accept_unverifiable: also count as valid what nothing can prove.
    :param accept: codes of findings that only warn; see :class:`Policy`.
    :param min_age_seconds: keep what was modified within this many seconds; it may still be
        written to.
    :raises RetentionProblem: for rules that contradict themselves.
    """

    keep_last: int = 3
    keep_best: int = 0
    metric: str | None = None
    metric_mode: str = "max"
    keep_names: tuple[str, ...] = ()
    level: int = 2
    accept_unverifiable: bool = False
    accept: tuple[str, ...] = ()
    min_age_seconds: float = 600.0

    def __post_init__(self) -> None:
        problems = list(self._problems())
        if problems:
            raise RetentionProblem(*problems)

    def _problems(self) -> Iterator[str]:
        if type(self.keep_last) is not int or self.keep_last < 1:
            yield f"keep_last: {self.keep_last!r}; allowed: a whole number from 1"
        best = self.keep_best
        if type(best) is not int or best < 0:
            yield f"keep_best: {best!r}; allowed: a whole number from 0"
        elif bool(best) != bool(self.metric):
            yield f"keep_best: {best} of metric {self.metric!r}; name both or neither"
        if self.metric_mode not in ("max", "min"):
            yield f"metric_mode: {self.metric_mode!r}; allowed: 'max' or 'min'"
        problem = not_acceptable(self.accept)
        if problem:
            yield f"accept: {problem}"
        if self.level not in (0, 1, 2, 3):
            yield f"level: {self.level!r}; allowed: 0 to 3"
        if not _is_number(self.min_age_seconds) or self.min_age_seconds < 0:
            yield f"min_age_seconds: {self.min_age_seconds!r}; allowed: seconds from 0"


@dataclass(frozen=True)
class RetentionPlan:
    """
    The checkpoints that stay and those that are removed.

    :param root: the directory that holds them.
    :param keep: name of every checkpoint that stays, and why.
    :param remove: what is removed, newest first.
    :param champion: the pointer that was read.
    :param below: the directory below which no link is followed to the root; in the root itself none
        is.
    """

    root: Path
    keep: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[Path, ...] = ()
    champion: FilePlace | None = None
    below: Path | None = None


def plan_retention(
    root: Location,
    rules: Retention,
    *,
    now: float,
    champion: FilePlace | None = None,
    below: Path | None = None,
) -> RetentionPlan:
    """
    Decide what stays and what may be removed; changes nothing.

    :param now: epoch seconds.
    :param champion: the pointer to the champion; without one, no checkpoint is the champion.
    :param below: the directory below which no link is followed to the root; in the root itself none
        is.
    :raises RetentionProblem: on object storage, and if leases or the pointer cannot be read.
    :raises RootProblem: if there is nothing to choose from.
    """
    if not isinstance(root, Path):
        raise RetentionProblem(
            f"{root}: object storage has no rename, so nothing is removed there; use its own rules"
        )
    listed, judge = candidates(root), _Judge(rules)
    newer = list(takewhile(lambda candidate: not judge.passes(candidate), listed))
    older = listed[len(newer) :]
    if not older:
        keep = dict.fromkeys(_names(listed), "no checkpoint is known to be valid")
        return RetentionPlan(root, keep, (), champion, below)
    keep = dict.fromkeys(_names(newer), "newer than the newest valid one")
    _keep_by_rule(keep, judge, older)
    # Read after the checks, which may take long.
    needed = needed_by_others(root, champion, now, below)
    for name in _names(older):
        if name in needed:
            keep.setdefault(name, needed[name])
    left = [candidate for candidate in older if candidate.path.name not in keep]
    remove = []
    for candidate in left:
        doubt = judge.doubt(candidate, now)
        if doubt is None:
            remove.append(Path(str(candidate.path)))
        else:
            keep[candidate.path.name] = doubt
    return RetentionPlan(root, keep, tuple(remove), champion, below)


def _keep_by_rule(keep: dict[str, str], judge: _Judge, valid_on: Sequence[Candidate]) -> None:
    """
    Add what the rules keep.

    :param valid_on: the newest valid checkpoint, and all older ones.
    """
    newest, *older = valid_on
    keep[newest.path.name] = "the newest valid one: training resumes from it"
    # The first reason counts.
    for name in _names(judge.last(older)):
        keep.setdefault(name, f"among the last {judge.rules.keep_last}")
    for name in _names(judge.best(valid_on)):
        keep.setdefault(name, f"among the best {judge.rules.keep_best} by {judge.rules.metric}")


def _names(listed: Iterable[Candidate]) -> list[str]:
    return [candidate.path.name for candidate in listed]


def needed_by_others(
    root: Path, champion: FilePlace | None, now: float, below: Path | None = None
) -> dict[str, str]:
    """
    Return the names of the champion and of leased checkpoints, and why they stay.

    :raises RetentionProblem: if that cannot be read.
    """
    try:
        holders = leased(root, now=now, below=below)
        champions = _champions(champion)
    except Exception as error:
        # The pointer may lie in any storage, and storage libraries raise what they like.
        reason = str(error) if isinstance(error, ValueError) else cause(error)
        text = f"{root}: what is needed cannot be known ({reason}); nothing was removed"
        raise RetentionProblem(text) from error
    needed = {name: f"held by {holder}" for name, holder in holders.items()}
    for present in champions:
        # By name alone: two mounts may give one checkpoint two paths, and one kept too many is
        # harmless.
        name = str(present["uri"]).rstrip("/").rpartition("/")[2]
        needed[name] = "the champion"
    return needed


def _champions(pointer: FilePlace | None) -> list[Mapping[str, Any]]:
    """Return the champion, and another one that the pointer still names after a crash."""
    if pointer is None:
        return []
    found = (read_champion(pointer), ChampionHistory(pointer).present())
    return [champion for champion in found if champion is not None]


class _Judge:
    """Checks each checkpoint at most once."""

    def __init__(self, rules: Retention) -> None:
        self.rules = rules
        self._reports: dict[str, Report] = {}

    def passes(self, candidate: Candidate) -> bool:
        name = candidate.path.name
        if name not in self._reports:
            policy = Policy(accept=frozenset(self.rules.accept))
            self._reports[name] = check(candidate.path, level=self.rules.level, policy=policy)
        report = self._reports[name]
        return report.accepted(accept_unverifiable=self.rules.accept_unverifiable)

    def last(self, older: Iterable[Candidate]) -> Iterable[Candidate]:
        """Return the newest valid ones after the first."""
        return islice(filter(self.passes, older), self.rules.keep_last - 1)

    def best(self, listed: Iterable[Candidate]) -> Iterable[Candidate]:
        """Return the valid ones with the best metric; only the best are checked in full."""
        rules = self.rules
        if not rules.keep_best:
            return ()
        rated = []
        for candidate in listed:
            metrics = check(candidate.path, level=0).metrics
            value = metrics.get(str(rules.metric))
            if _is_number(value):
                rated.append((value, candidate))
        # Stable: of equal ones the newer comes first.
        sign = -1 if rules.metric_mode == "max" else 1
        rated.sort(key=lambda pair: sign * pair[0])
        ranked = (candidate for _, candidate in rated)
        return islice(filter(self.passes, ranked), rules.keep_best)

    def doubt(self, candidate: Candidate, now: float) -> str | None:
        """Return why one stays although no rule keeps it; ``None`` if it may go."""
        name = candidate.path.name
        for pattern in self.rules.keep_names:
            if fnmatchcase(name, pattern):
                return f"named by {pattern!r}"
        if Path(str(candidate.path)).is_symlink():
            return "a link; what it leads to may be needed elsewhere"
        # A limit that is exceeded shows only once the structure is read.
        report = self._reports.get(name) or check(candidate.path, level=1)
        if report.verdict in _UNDECIDED:
            return f"{report.verdict}: it is not known what it is"
        if now - _changed_at(candidate) < self.rules.min_age_seconds:
            return f"changed less than {self.rules.min_age_seconds:g} s ago"
        return None


def _is_number(value: object) -> TypeGuard[float]:
    """Whether a value can be compared; one NaN would mix up the order of all others."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return not math.isnan(value)


def _changed_at(candidate: Candidate) -> float:
    # Writing into a file does not touch the time of its directory.
    files = list_checkpoint(candidate.path).files
    times = [entry.mtime for entry in files.values()]
    return max(candidate.mtime, *times)
