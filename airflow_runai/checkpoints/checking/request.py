"""The request of a check, which does not change while the check runs."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.checkpoints.checking.findings import ACCEPTABLE
from airflow_runai.checkpoints.checking.ledger import Ledger


@dataclass(frozen=True)
class Policy:
    """
    What a user may decide about verdicts.

    :param strict: refuse pickles that name classes other than PyTorch's and Python's plain data.
    :param entry_limit: maximum number of directory entries listed, per checkpoint and per root.
    :param accept: finding codes that only warn, of
        :data:`~airflow_runai.checkpoints.checking.findings.ACCEPTABLE`.
    """

    strict: bool = False
    entry_limit: int = 10_000
    accept: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        unknown = sorted(set(self.accept) - ACCEPTABLE)
        if unknown:
            allowed = ", ".join(sorted(ACCEPTABLE))
            raise ValueError(f"policy.accept: {', '.join(map(repr, unknown))}; allowed: {allowed}")
        if type(self.entry_limit) is not int or self.entry_limit < 1:
            raise ValueError(
                f"policy.entry_limit: {self.entry_limit!r}; must be an integer ≥ 1 (default 10000)"
            )


@dataclass(frozen=True)
class CheckRequest:
    """
    How deep to check, and against what.

    :param level: 0 listing, 1 structure, 2 integrity, 3 content.
    :param ledger: of the last accepted checkpoint, to compare with.
    """

    level: int
    policy: Policy = Policy()
    ledger: Ledger | None = None
