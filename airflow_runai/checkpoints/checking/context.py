"""A format, and what it receives beside the files: request, account and read cache."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from airflow_runai.checkpoints.checking.account import CheckAccount
from airflow_runai.checkpoints.checking.findings import Finding, Verdict
from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.checking.read_cache import ReadCache
from airflow_runai.checkpoints.checking.request import CheckRequest
from airflow_runai.checkpoints.checking.verdict import severity_of, verdict_of
from airflow_runai.checkpoints.storage.listing import Listing

# A report holds up to 100 messages, which quote names out of a file.
_MAX_MESSAGE = 500


@dataclass(frozen=True)
class CheckContext:
    """
    One check under way.

    :param request: the level, the policy and the ledger to compare with.
    :param formats: the formats to recognise, most specific first; some formats wrap others.
    :param account: what was found so far.
    :param cache: what reading keeps.
    """

    request: CheckRequest
    formats: tuple[Format, ...] = ()
    account: CheckAccount = field(default_factory=CheckAccount)
    cache: ReadCache = field(default_factory=ReadCache)

    @property
    def level(self) -> int:
        """How deep to check, 0 to 3."""
        return self.request.level

    @property
    def verdict(self) -> Verdict:
        """What the findings so far come down to."""
        return verdict_of(self.account.codes, self.request.policy.accept)

    @property
    def refused(self) -> bool:
        """Whether the findings so far rule the checkpoint out."""
        return self.verdict not in (Verdict.VALID, Verdict.UNVERIFIABLE)

    def note(self, code: str, path: str, message: str) -> None:
        """Record a finding."""
        severity = severity_of(code, self.request.policy.accept)
        self.account.add(Finding(code, severity, path, message[:_MAX_MESSAGE]))

    def note_unproven(self, code: str, path: str, reason: str) -> None:
        """Record that nothing in the format proves a file, unless a manifest does."""
        if path not in self.account.manifest_verified:
            self.note(code, path, f"{reason}; damage to the bytes cannot be seen")

    @contextmanager
    def noting(self, path: str) -> Iterator[None]:
        """Record a :class:`FormatError` as a finding, so that one file does not hide others."""
        try:
            yield
        except FormatError as error:
            self.note(error.code, path, error.message)

    def for_part(self, name: str) -> CheckContext:
        """Open the check of one file that runs beside others; its account is merged afterwards."""
        account, cache = self.account.for_part(name), self.cache.for_part()
        return CheckContext(self.request, self.formats, account, cache)


@dataclass(frozen=True)
class Format:
    """
    One way of writing checkpoints.

    :param name: as it appears in reports.
    :param detect: whether the bytes prove that it is this format and no other; may read a few.
    :param examine: checks it at the level of the request and notes findings; may raise
        :class:`~airflow_runai.checkpoints.checking.format_error.FormatError`.
    :param meant: whether the name says that a damaged file was meant to be this format; asked only
        if no bytes prove any format.
    :param weights: endings of files that hold weights or training state.
    """

    name: str
    detect: Callable[[Listing, CheckContext], bool]
    examine: Callable[[Listing, CheckContext], None]
    meant: Callable[[Listing, CheckContext], bool] = lambda tree, context: False
    weights: tuple[str, ...] = ()
