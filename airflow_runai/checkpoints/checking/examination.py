"""
The running account of one look at one checkpoint: what to look for, what was found so far.

Formats write into it; it reads no file and decides nothing but the verdict that the findings add up
to. :class:`FormatError` is how a parser gives up on one file; it never leaves this package.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Literal

from airflow_runai.checkpoints.checking.drift import advance, compare
from airflow_runai.checkpoints.checking.ledger import ENTRY_LIMIT, Ledger, TensorEntry
from airflow_runai.checkpoints.checking.report import (
    ACCEPTABLE,
    CODES,
    Finding,
    Report,
    Severity,
    Verdict,
    worst,
)
from airflow_runai.checkpoints.storage.access import AHEAD, Blocks
from airflow_runai.checkpoints.storage.listing import Listing
from airflow_runai.errors import RunaiError

__all__ = ["Examination", "Format", "FormatError", "Policy", "StepClaim", "shown"]

_FINDING_LIMIT = 100
_MESSAGE_LIMIT = 500


def shown(value: object) -> str:
    """Render a value that came out of a file: quoted, on one line, at most 80 characters."""
    text = (
        repr(value) if isinstance(value, str | int | float | bytes | None) else type(value).__name__
    )
    return text if len(text) <= 80 else text[:77] + "..."


class FormatError(RunaiError):
    """A parser cannot go on with this file; ``code`` is one of :data:`CODES`."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class Policy:
    """
    What a user may decide about the verdicts.

    :param strict: refuse pickles that name classes which are neither PyTorch's nor Python's own
        plain data.
    :param entry_limit: how many directory entries are listed at most, per checkpoint and per root.
    :param accept: finding codes, of :data:`~airflow_runai.checkpoints.checking.report.ACCEPTABLE`,
        that only warn.
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
                f"policy.entry_limit: {self.entry_limit!r} is no number from 1; 10000 is the default"
            )


@dataclass(frozen=True)
class StepClaim:
    """
    One place that says which training step this is.

    :param weight: ``binding`` claims that disagree make the checkpoint invalid, an ``advisory`` one
        causes a warning, and a ``hint`` (a scheduler that may count epochs) means nothing until a
        format that knows better raises it.
    :param at_most: the place may lag behind (a skipped mixed-precision step), but never lead.
    """

    place: str
    step: int
    weight: Literal["binding", "advisory", "hint"] = "binding"
    at_most: bool = False


@dataclass
class Examination:
    """
    One look at one checkpoint.

    :param level: how deep to look, 0 to 3.
    :param policy: the user's choices.
    :param formats: the registry, most specific first; for formats that wrap other formats.
    :param progress: told the number of bytes read, after every chunk.
    """

    level: int
    policy: Policy
    formats: tuple[Format, ...]
    progress: Callable[[int], None] | None = None
    findings: list[Finding] = field(default_factory=list)
    verdict: Verdict = Verdict.VALID
    crcs: dict[str, tuple[int, int]] = field(default_factory=dict)
    """Relative path to (size, CRC32) of every file read to its end."""
    manifest_verified: set[str] = field(default_factory=set)
    """Files whose bytes a manifest proves."""
    apart: set[str] = field(default_factory=set)
    """Files that describe the checkpoint and are not part of its content."""
    heads: dict[str, bytes] = field(default_factory=dict)
    """Relative path to the first bytes of a file, so that many formats may look at them for one reading."""
    members: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Relative path to the names in a zip file, for the same reason."""
    tensor_names: dict[str, frozenset[str]] = field(default_factory=dict)
    entries: dict[tuple[str, str], TensorEntry] = field(default_factory=dict)
    """What a ledger keeps: (relative path, name of the tensor) to what was seen of it."""
    before: Ledger | None = None
    """The ledger of the last accepted checkpoint."""
    world_size: int | None = None
    """How many processes wrote it, where it says so."""
    metrics: Mapping[str, object] = field(default_factory=dict)
    """What the trainer noted of its quality."""
    steps: list[StepClaim] = field(default_factory=list)
    name_binds: bool | None = None
    """Whether a step in the name binds, where a format knows; else the name itself decides."""
    facts: dict[str, Any] = field(default_factory=dict)
    """What one part says and another is judged by, such as how many steps were skipped."""
    tensors: int = 0
    bytes_read: int = 0
    ahead: int = AHEAD
    """Ranges of a remote file that are fetched in advance."""
    blocks: Blocks = field(default_factory=Blocks)
    """Heads and ends of remote files that were fetched last."""
    vouched: set[str] = field(default_factory=set)
    """Files of which the object store keeps the very checksum of the manifest; level 2 need not read them."""
    lock: Lock = field(default_factory=Lock)
    """Held while parts that are looked at beside each other count their bytes."""

    def note(self, code: str, path: str, message: str) -> None:
        """Record a finding once; after 100 of them only the verdict is kept up to date."""
        severity: Severity
        severity, verdict = (
            ("warning", Verdict.VALID) if code in self.policy.accept else CODES[code]
        )
        self.verdict = worst(self.verdict, verdict)
        finding = Finding(code, severity, path, message[:_MESSAGE_LIMIT])
        if finding in self.findings:
            return
        if len(self.findings) < _FINDING_LIMIT:
            self.findings.append(finding)
        elif len(self.findings) == _FINDING_LIMIT:
            more = "there are more findings than are listed here; repair these first"
            self.findings.append(Finding("more-findings", "info", path, more))

    def enter(self, path: str, name: str, entry: TensorEntry) -> None:
        """
        Put a tensor into the ledger; of more than :data:`ENTRY_LIMIT` only the first are kept.

        :param path: file that holds it, relative to the checkpoint.
        :param name: unique within that file and the same in every checkpoint of a training.
        """
        if len(self.entries) <= ENTRY_LIMIT:
            self.entries[path, name] = entry

    def ledger(self, tree: Listing, step: int | None) -> Ledger:
        """
        Everything that was entered; a checkpoint that is one file has no name of its own in it.
        """
        entries = list(self.entries.items())[:ENTRY_LIMIT]
        tensors = {("" if tree.single else path, name): entry for (path, name), entry in entries}
        files = {
            "" if tree.single else path: found
            for path, found in self.crcs.items()
            if path not in self.apart
        }
        now = Ledger(step, tensors, files, len(self.entries) <= ENTRY_LIMIT)
        return now if self.before is None else advance(self.before, now)

    def hold_against(self, before: Ledger, tree: Listing, step: int | None) -> None:
        """Compare what was entered with the last accepted checkpoint, unless this one is refused already."""
        if self.refused:
            return
        intact = self.level < 2 or self.verdict is Verdict.VALID
        for finding in compare(
            before, self.ledger(tree, step), intact=intact, written=self.manifest_verified
        ):
            self.note(finding.code, finding.path or tree.label, finding.message)

    def was_non_finite(self, path: str, name: str) -> bool:
        """Whether the last accepted checkpoint had NaN or infinity in this tensor already."""
        known = {} if self.before is None else self.before.tensors
        return any(
            entry is not None and entry.non_finite
            for entry in (known.get((path, name)), known.get(("", name)))
        )

    def count(self, size: int) -> None:
        """Count bytes that were read, and tell who wants to know."""
        self.bytes_read += size
        if self.progress is not None:
            self.progress(self.bytes_read)

    @property
    def refused(self) -> bool:
        """Whether what was found already rules the checkpoint out."""
        return self.verdict not in (Verdict.VALID, Verdict.UNVERIFIABLE)

    def examine(self, tree: Listing, *, among: tuple[Format, ...] | None = None) -> str | None:
        """
        Look at a file or directory with the first format that recognises it.

        :param among: formats to try; all by default.
        :return: name of the format, ``None`` when nobody recognises it.
        """
        if self.level == 2 and tree.single and not self.vouched.isdisjoint(tree.files):
            return self._examine_structure(tree, among)
        form = None
        try:
            form = self.recognise(tree, among=among)
            if form is not None:
                form.examine(tree, self)
        except FormatError as damage:
            self.note(damage.code, tree.label, damage.message)
            return None if form is None else form.name
        return None if form is None else form.name

    def recognise(self, tree: Listing, *, among: tuple[Format, ...] | None = None) -> Format | None:
        """
        Find the format that the bytes prove; where none does, the one that the name means a damaged file to be.

        :param among: formats to try; all by default.
        :raises FormatError: when it cannot be read.
        """
        tried = self.formats if among is None else among
        proven = next((form for form in tried if form.detect(tree, self)), None)
        return proven or next((form for form in tried if form.meant(tree, self)), None)

    def _examine_structure(self, tree: Listing, among: tuple[Format, ...] | None) -> str | None:
        self.level = 1
        try:
            return self.examine(tree, among=among)
        finally:
            self.level = 2

    def fork(self) -> Examination:
        """Open an account of its own for a part that is looked at beside others, and fetches less in advance."""
        told, lock = [0], self.lock

        def tell(read: int) -> None:
            with lock:
                self.count(read - told[0])
            told[0] = read

        fresh = Examination(
            self.level, self.policy, self.formats, tell, before=self.before, ahead=1, lock=lock
        )
        fresh.manifest_verified, fresh.vouched = self.manifest_verified, self.vouched
        return fresh

    def join(self, part: Examination) -> None:
        """Put the account of a part back into this one."""
        for finding in part.findings:
            self.note(finding.code, finding.path, finding.message)
        self.verdict = worst(self.verdict, part.verdict)
        self.crcs |= part.crcs
        self.apart |= part.apart
        self.tensor_names |= part.tensor_names
        for (path, name), entry in part.entries.items():
            self.enter(path, name, entry)
        self.world_size = part.world_size if self.world_size is None else self.world_size
        self.steps += part.steps
        self.facts |= part.facts
        self.tensors += part.tensors

    def digest(self, tree: Listing) -> str | None:
        """Digest of names, sizes and CRCs; ``None`` unless every file was read to its end."""
        content = set(tree.files) - self.apart
        if not content or not content <= set(self.crcs):
            return None
        sums = ((name, *self.crcs[name]) for name in sorted(content))
        lines = (f"{name} {size} {crc:08x}\n" for name, size, crc in sums)
        return (
            "sha256:"
            + hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()
        )

    def report(self, path: str, tree: Listing, form: str | None, step: int | None) -> Report:
        """Close the account."""
        digest = self.digest(tree) if self.level >= 2 else None
        return Report(
            path=path,
            verdict=self.verdict,
            format=form,
            step=step,
            level=self.level,
            bytes=sum(entry.size for entry in tree.files.values()),
            findings=tuple(self.findings),
            digest=digest,
            tensors=self.tensors,
            mark=tree.mark,
            world_size=self.world_size,
            metrics=self.metrics,
            ledger=self.ledger(tree, step),
        )


@dataclass(frozen=True)
class Format:
    """
    One way of writing checkpoints; a module under ``formats`` each.

    :param name: as it appears in reports.
    :param detect: whether the bytes prove that it is this format, which cannot be another's; may
        read a few of them.
    :param examine: look, as deep as the examination says, and note findings; may raise
        :class:`FormatError`.
    :param meant: whether the name says that it was meant to be this format; asked only where no
        bytes prove any.
    """

    name: str
    detect: Callable[[Listing, Examination], bool]
    examine: Callable[[Listing, Examination], None]
    meant: Callable[[Listing, Examination], bool] = lambda tree, seen: False
