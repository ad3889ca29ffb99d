"""The report of a check: what was found, the verdict, and what identifies the content."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from airflow_runai.checkpoints.checking.findings import TRANSIENT, Finding, Verdict
from airflow_runai.checkpoints.checking.ledger import Ledger


@dataclass(frozen=True)
class Report:
    """
    The result of checking one checkpoint.

    :param path: the checkpoint, as it was given.
    :param verdict: what the findings come down to.
    :param format: name of the format that read it; ``None`` if no format did.
    :param step: training step, if name or content state it.
    :param level: how deep the check was: 0 listing, 1 structure, 2 integrity, 3 content.
    :param bytes: size of all its files, in bytes.
    :param findings: in the order of discovery, at most 100.
    :param digest: ``sha256:<hex>`` over names, sizes and CRCs of all files, so that equal content
        has an equal digest; ``None`` below level 2, and if not every file could be read to its end.
    :param tensors: number of tensors.
    :param mark: of names, sizes and times of its files, to recognise the same files later.
    :param world_size: number of processes that wrote it, if known.
    :param metrics: quality that the trainer recorded, if any.
    :param ledger: an entry for each tensor, to compare with the next checkpoint; not part of
        :meth:`to_json`.
    """

    path: str
    verdict: Verdict
    format: str | None
    step: int | None
    level: int
    bytes: int
    findings: tuple[Finding, ...] = ()
    digest: str | None = None
    tensors: int = 0
    # Not compared: a copy has other times, and the same content.
    mark: str = field(default="", compare=False)
    world_size: int | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger, repr=False, compare=False)

    def accepted(self, *, accept_unverifiable: bool = False) -> bool:
        """
        Whether training may resume from this checkpoint.

        :param accept_unverifiable: also accept what nothing in the format can prove.
        """
        if self.verdict is Verdict.UNVERIFIABLE:
            return accept_unverifiable
        return self.verdict is Verdict.VALID

    @property
    def transient(self) -> bool:
        """
        Whether a later check may differ: it is being written, or could not be read now.

        A checkpoint that is ``unknown`` for another reason (no known format, beyond a limit) stays
        so.
        """
        if self.verdict is Verdict.UNKNOWN:
            return any(finding.code in TRANSIENT for finding in self.findings)
        return self.verdict is Verdict.IN_PROGRESS

    def to_json(self) -> dict[str, object]:
        """Render as plain JSON data."""
        return {
            "path": self.path,
            "verdict": self.verdict.value,
            "format": self.format,
            "step": self.step,
            "level": self.level,
            "bytes": self.bytes,
            "findings": [asdict(finding) for finding in self.findings],
            "digest": self.digest,
            "tensors": self.tensors,
        }
