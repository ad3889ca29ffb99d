"""The request of a check, which does not change while the check runs."""

from __future__ import annotations

from dataclasses import dataclass

from airflow_runai.checkpoints.checking.findings import not_acceptable
from airflow_runai.checkpoints.checking.ledger import Ledger
from airflow_runai.checkpoints.storage.checkpoint_files import ENTRY_LIMIT


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
    entry_limit: int = ENTRY_LIMIT
    accept: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        problem = not_acceptable(self.accept)
        if problem:
            raise ValueError(f"policy.accept: {problem}")
        if type(self.entry_limit) is not int or self.entry_limit < 1:
            text = f"must be an integer ≥ 1 (default {ENTRY_LIMIT})"
            raise ValueError(f"policy.entry_limit: {self.entry_limit!r}; {text}")


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
