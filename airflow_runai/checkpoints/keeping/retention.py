"""
Which checkpoints may go: old ones, of which nobody needs any.

Never goes: the newest valid one (a resumed training starts from it) and whatever is newer, the
champion, what somebody reads (:mod:`~airflow_runai.checkpoints.keeping.leases`), what is named to be kept,
what is being written, and what could not be read. Where no valid one is found, nothing goes at all.
Local and mounted file systems only: without a rename, a torn removal would look like a checkpoint.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TypeGuard

from airflow_runai.checkpoints.checking.examination import Policy
from airflow_runai.checkpoints.checking.reader import cause
from airflow_runai.checkpoints.checking.report import ACCEPTABLE, Report, Verdict
from airflow_runai.checkpoints.choosing.roots import Candidate, candidates
from airflow_runai.checkpoints.choosing.verification import check
from airflow_runai.checkpoints.keeping.champion import read_champion
from airflow_runai.checkpoints.keeping.leases import leased
from airflow_runai.checkpoints.storage.checkpoint_files import list_checkpoint
from airflow_runai.checkpoints.storage.listing import Location
from airflow_runai.checkpoints.storage.small_files import SmallFile
from airflow_runai.errors import RunaiError

__all__ = ["Plan", "Retention", "RetentionProblem", "needed_by_others", "plan"]

_UNDECIDED = (Verdict.UNKNOWN, Verdict.IN_PROGRESS)


class RetentionProblem(RunaiError, ValueError):
    """
    Nothing was removed, because the rules make no sense or it cannot be known what is needed.

    :param problems: all mistakes, each with its place, what was found and what is allowed.
    """

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems = problems


@dataclass(frozen=True)
class Retention:
    """
    What is kept beside what is never removed.

    :param keep_last: so many of the newest valid ones; at least 1.
    :param keep_best: so many valid ones with the best metric.
    :param metric: which one, from the manifest.
    :param metric_mode: ``max`` keeps the highest values of the metric, ``min`` the lowest.
    :param keep_names: names or patterns (``step-*0000``) of what always stays.
    :param level: how deep to look at those that are to count as valid, 0 to 3.
    :param accept_unverifiable: count as valid what nothing can prove, too.
    :param accept: codes of findings that shall only warn; see :class:`Policy`.
    :param min_age_seconds: whatever was changed less than so long ago may still be written to, and
        stays.
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
        problems = []
        if type(self.keep_last) is not int or self.keep_last < 1:
            problems.append(f"keep_last: {self.keep_last!r}; allowed: a whole number from 1")
        if type(self.keep_best) is not int or self.keep_best < 0:
            problems.append(f"keep_best: {self.keep_best!r}; allowed: a whole number from 0")
        elif bool(self.keep_best) != bool(self.metric):
            problems.append(
                f"keep_best: {self.keep_best} of metric {self.metric!r}; name both or neither"
            )
        if self.metric_mode not in ("max", "min"):
            problems.append(f"metric_mode: {self.metric_mode!r}; allowed: 'max' or 'min'")
        unknown = sorted(set(self.accept) - ACCEPTABLE)
        if unknown:
            problems.append(
                f"accept: {', '.join(map(repr, unknown))}; allowed: {', '.join(sorted(ACCEPTABLE))}"
            )
        if self.level not in (0, 1, 2, 3):
            problems.append(f"level: {self.level!r}; allowed: 0 to 3")
        if not _is_number(self.min_age_seconds) or self.min_age_seconds < 0:
            problems.append(f"min_age_seconds: {self.min_age_seconds!r}; allowed: seconds from 0")
        if problems:
            raise RetentionProblem(*problems)


@dataclass(frozen=True)
class Plan:
    """
    What would be done.

    :param root: where the checkpoints lie.
    :param keep: name of every checkpoint that stays, and why.
    :param remove: what goes, newest first.
    :param champion: the pointer that was read.
    :param below: the directory from which on no link is followed to the root; in the root itself
        none is.
    """

    root: Path
    keep: Mapping[str, str] = field(default_factory=dict)
    remove: tuple[Path, ...] = ()
    champion: Location | SmallFile | None = None
    below: Path | None = None


def plan(
    root: Location,
    rules: Retention,
    *,
    now: float,
    champion: Location | SmallFile | None = None,
    below: Path | None = None,
) -> Plan:
    """
    Say what stays and what may go; touches nothing.

    :param now: epoch seconds.
    :param champion: the pointer to the champion; without one, no checkpoint is the champion.
    :param below: the directory from which on no link is followed to the root; in the root itself
        none is.
    :raises RetentionProblem: on object storage, and when leases or the pointer cannot be read.
    :raises RootProblem: when there is nothing to choose from.
    """
    if not isinstance(root, Path):
        raise RetentionProblem(
            f"{root}: object storage has no rename, so nothing is removed there; use its own rules"
        )
    listed = candidates(root)
    judge = _Judge(rules)
    newest = next((place for place, found in enumerate(listed) if judge.passes(found)), None)
    if newest is None:
        undecided = {found.path.name: "no checkpoint is known to be valid" for found in listed}
        return Plan(root, undecided, (), champion, below)
    keep = {found.path.name: "newer than the newest valid one" for found in listed[:newest]}
    keep[listed[newest].path.name] = "the newest valid one: training resumes from it"
    older = listed[newest + 1 :]
    keep |= {found.path.name: f"among the last {rules.keep_last}" for found in judge.last(older)}
    keep |= {name: why for name, why in judge.best(listed[newest:]).items() if name not in keep}
    needed = needed_by_others(root, champion, now, below)
    keep |= {
        f.path.name: needed[f.path.name]
        for f in older
        if f.path.name in needed and f.path.name not in keep
    }
    for found in older:
        why = None if found.path.name in keep else judge.hesitates(found, now)
        if why is not None:
            keep[found.path.name] = why
    return Plan(
        root,
        keep,
        tuple(Path(str(f.path)) for f in older if f.path.name not in keep),
        champion,
        below,
    )


def needed_by_others(
    root: Path, champion: Location | SmallFile | None, now: float, below: Path | None = None
) -> dict[str, str]:
    """
    Names of the champion and of what somebody reads, and why they stay.

    :raises RetentionProblem: when that cannot be known.
    """
    try:
        needed = {
            name: f"held by {holder}" for name, holder in leased(root, now=now, below=below).items()
        }
        present = None if champion is None else read_champion(champion)
    except Exception as error:
        # The pointer may lie in any storage, and their libraries raise what they like
        words = str(error) if isinstance(error, ValueError) else cause(error)
        raise RetentionProblem(
            f"{root}: what is needed cannot be known ({words}); nothing was removed"
        ) from error
    if present is not None:
        # By name alone: two mounts call one checkpoint by two paths, and keeping one too many harms
        # nobody.
        needed[str(present["uri"]).rstrip("/").rpartition("/")[2]] = "the champion"
    return needed


class _Judge:
    """Looks at each checkpoint once at most."""

    def __init__(self, rules: Retention) -> None:
        self.rules = rules
        self._reports: dict[str, Report] = {}

    def passes(self, found: Candidate) -> bool:
        return self._report(found).accepted(accept_unverifiable=self.rules.accept_unverifiable)

    def _report(self, found: Candidate) -> Report:
        name = found.path.name
        if name not in self._reports:
            policy = Policy(accept=frozenset(self.rules.accept))
            self._reports[name] = check(found.path, level=self.rules.level, policy=policy)
        return self._reports[name]

    def last(self, older: tuple[Candidate, ...]) -> Iterator[Candidate]:
        """The newest valid ones after the first."""
        left = self.rules.keep_last - 1
        for found in older:
            if not left:
                return
            if self.passes(found):
                left -= 1
                yield found

    def best(self, listed: tuple[Candidate, ...]) -> dict[str, str]:
        """Names of the valid ones with the best metric; metrics are looked up in manifests, only the best are read."""
        metric, sign = self.rules.metric, -1 if self.rules.metric_mode == "max" else 1
        rated = []
        for found in listed if self.rules.keep_best else ():
            value = check(found.path, level=0).metrics.get(str(metric))
            if _is_number(value):
                rated.append((sign * value, found))
        passing = (
            found for _, found in sorted(rated, key=lambda pair: pair[0]) if self.passes(found)
        )
        chosen = [found for found, _ in zip(passing, range(self.rules.keep_best), strict=False)]
        return {
            found.path.name: f"among the best {self.rules.keep_best} by {metric}"
            for found in chosen
        }

    def hesitates(self, found: Candidate, now: float) -> str | None:
        """Why an old one that nobody asked for stays all the same; ``None`` when it may go."""
        name = found.path.name
        for pattern in self.rules.keep_names:
            if fnmatchcase(name, pattern):
                return f"named by {pattern!r}"
        if Path(str(found.path)).is_symlink():
            return "a link; what it leads to may be needed elsewhere"
        # What is beyond a limit shows only once its structure is read.
        report = self._reports.get(name) or check(found.path, level=1)
        if report.verdict in _UNDECIDED:
            return f"{report.verdict}: nobody knows what it is"
        if now - _changed_at(found) < self.rules.min_age_seconds:
            return f"changed less than {self.rules.min_age_seconds:g} s ago"
        return None


def _is_number(value: object) -> TypeGuard[float]:
    """Whether something can be compared; one NaN would mix up the order of all others."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not math.isnan(value)


def _changed_at(found: Candidate) -> float:
    """When its youngest file was changed; a directory itself keeps its time while its files are written."""
    tree = list_checkpoint(found.path, Policy().entry_limit, lambda name, error: None)
    return max([found.mtime, *(entry.mtime for entry in tree.files.values())])
