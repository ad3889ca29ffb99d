"""
What a look at one checkpoint found: findings, the verdict they add up to, and the report that carries both.

This is data only; it reads no file. Every finding code is declared in one table, :data:`CODES`,
together with its severity and the verdict it leads to, so that formats cannot invent private
meanings.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, NamedTuple

from airflow_runai.checkpoints.checking.ledger import Ledger
from airflow_runai.checkpoints.checking.verdicts import Verdict, worst

__all__ = [
    "ACCEPTABLE",
    "CODES",
    "TRANSIENT",
    "Code",
    "Finding",
    "Report",
    "Severity",
    "Verdict",
    "worst",
]

Severity = Literal["error", "warning", "info"]


class Code(NamedTuple):
    """What a finding code means: its severity and the verdict it leads to."""

    severity: Severity
    verdict: Verdict


def _error(verdict: Verdict) -> Code:
    return Code("error", verdict)


_INVALID = _error(Verdict.INVALID)
_UNSAFE = _error(Verdict.UNSAFE)
_BUSY = _error(Verdict.IN_PROGRESS)
_WARNING = Code("warning", Verdict.VALID)

CODES: dict[str, Code] = {
    # reading and listing
    "missing": _INVALID,
    "unreadable": _error(Verdict.UNKNOWN),
    "too-many-entries": _error(Verdict.UNKNOWN),
    "special-file": _INVALID,
    "link": _INVALID,
    "link-loop": _INVALID,
    "empty-file": _INVALID,
    "empty-directory": _INVALID,
    "is-root": _INVALID,
    "format-unknown": _error(Verdict.UNKNOWN),
    "not-examined": Code("warning", Verdict.UNVERIFIABLE),
    "too-large": _error(Verdict.UNKNOWN),
    "temporary-name": _BUSY,
    "incomplete-marker": _BUSY,
    "changing": _BUSY,
    "reader-defect": _error(Verdict.UNKNOWN),
    # zip container
    "zip-structure": _INVALID,
    "zip-name": _UNSAFE,
    "zip-duplicate": _INVALID,
    "zip-overlap": _INVALID,
    "zip-mismatch": _INVALID,
    "zip-crc": _INVALID,
    "zip-bomb": _UNSAFE,
    "zip-no-checksums": Code("info", Verdict.UNVERIFIABLE),
    # torch
    "torch-layout": _INVALID,
    "torch-script": _UNSAFE,
    "torch-unreferenced": _INVALID,
    "torch-storage": _INVALID,
    "torch-view": _INVALID,
    "torch-byteorder": _WARNING,
    "legacy-layout": _INVALID,
    "legacy-no-checksum": Code("info", Verdict.UNVERIFIABLE),
    "format-too-old": _INVALID,
    "lightning-keys": _INVALID,
    # pickle
    "pickle-malformed": _INVALID,
    "pickle-limit": _UNSAFE,
    "pickle-opcode": _UNSAFE,
    "pickle-dangerous": _UNSAFE,
    "pickle-foreign": _WARNING,
    "pickle-foreign-made": Code("warning", Verdict.UNVERIFIABLE),
    "pickle-foreign-call": _UNSAFE,
    "pickle-foreign-strict": _UNSAFE,
    "pickle-no-checksum": Code("info", Verdict.UNVERIFIABLE),
    # safetensors
    "safetensors-header": _INVALID,
    "safetensors-no-checksum": Code("info", Verdict.UNVERIFIABLE),
    # TensorFlow and Keras
    "tensorflow-index": _INVALID,
    "tensorflow-data": _INVALID,
    "tensorflow-crc": _INVALID,
    "tensorflow-state": _INVALID,
    "tensorflow-unproven": Code("info", Verdict.UNVERIFIABLE),
    "saved-model": _INVALID,
    "saved-model-no-checksum": Code("info", Verdict.UNVERIFIABLE),
    "keras-layout": _INVALID,
    "keras-code": _UNSAFE,
    "keras-foreign": _WARNING,
    "keras-foreign-strict": _UNSAFE,
    # other containers
    "hdf5-superblock": _INVALID,
    "hdf5-open": _BUSY,
    "hdf5-damaged": _INVALID,
    "hdf5-external": _UNSAFE,
    "hdf5-limit": _UNSAFE,
    "hdf5-structure-only": Code("info", Verdict.UNVERIFIABLE),
    "hdf5-no-checksum": Code("info", Verdict.UNVERIFIABLE),
    "orbax-unfinished": _BUSY,
    "orbax-layout": _INVALID,
    "orbax-no-checksum": Code("info", Verdict.UNVERIFIABLE),
    "npz-layout": _INVALID,
    "npz-object": _UNSAFE,
    "gguf-header": _INVALID,
    "gguf-no-checksum": Code("info", Verdict.UNVERIFIABLE),
    "onnx-structure": _INVALID,
    "onnx-external": _INVALID,
    "onnx-path": _UNSAFE,
    "onnx-no-checksum": Code("info", Verdict.UNVERIFIABLE),
    # several files
    "json-malformed": _INVALID,
    "index-mismatch": _INVALID,
    "shard-missing": _INVALID,
    "shard-left-over": _WARNING,
    "trainer-in-name-only": _WARNING,
    "file-missing": _INVALID,
    "model-only": _WARNING,
    "dcp-metadata": _INVALID,
    "dcp-extent": _INVALID,
    "dcp-tiles": _INVALID,
    "dcp-item": _INVALID,
    "rank-missing": _INVALID,
    "rank-left-over": _WARNING,
    "ranks-disagree": _INVALID,
    "pointer-broken": _WARNING,
    "random-state-missing": _WARNING,
    "manifest-missing": Code("info", Verdict.UNVERIFIABLE),
    "manifest-malformed": _INVALID,
    "manifest-mismatch": _INVALID,
    # content
    "non-finite": _error(Verdict.POISONED),
    "mask-infinite": _WARNING,
    "moment-infinite": _WARNING,
    "score-non-finite": _WARNING,
    "all-zero": _WARNING,
    "zero-tail": _WARNING,
    "zero-rest": _INVALID,
    "loss-non-finite": _WARNING,
    "step-disagrees": _INVALID,
    "step-differs": _WARNING,
    # what was asked for
    "below-min-step": _WARNING,
    "behind-last-step": _WARNING,
    "not-as-expected": _WARNING,
    "world-size-differs": _WARNING,
    # against the ledger of the last accepted checkpoint
    "tensor-lost": _INVALID,
    "tensor-new": _WARNING,
    "dtype-drift": _INVALID,
    "shape-drift": _INVALID,
    "tensors-swapped": _INVALID,
    "zeroed": _error(Verdict.POISONED),
    "stale-file": _INVALID,
    "file-unchanged": Code("warning", Verdict.UNVERIFIABLE),
    "tensors-unchanged": _WARNING,
    "weights-frozen": _WARNING,
    "changed-since-accepted": _INVALID,
    "saved-again": _WARNING,
    "non-finite-before": _WARNING,
    "more-findings": Code("info", Verdict.VALID),
}


#: What a user may know better than any file: it can be accepted by its code, and is then a warning.
#: It is about what the numbers mean, never about bytes that are damaged, missing or dangerous.
ACCEPTABLE = frozenset(
    {
        *("step-disagrees", "ranks-disagree", "non-finite", "zeroed"),
        *("tensor-lost", "dtype-drift", "shape-drift", "stale-file", "file-unchanged"),
    }
)
#: What makes a checkpoint unknown only for now; every other code that leads to ``unknown`` says the
#: same for ever.
TRANSIENT = frozenset({"unreadable"})


@dataclass(frozen=True)
class Finding:
    """
    One thing that was noticed.

    :param code: a key of :data:`CODES`; stable, to be matched on.
    :param severity: ``error`` decides the verdict, ``warning`` and ``info`` do not refuse.
    :param path: file (relative to the checkpoint) or the checkpoint itself.
    :param message: what was found, what is allowed, what to do.
    """

    code: str
    severity: Severity
    path: str
    message: str


@dataclass(frozen=True)
class Report:
    """
    The result of looking at one checkpoint.

    :param path: the checkpoint, as it was given.
    :param verdict: what it comes down to.
    :param format: name of the format that read it; ``None`` when no format did.
    :param step: training step, where name and content tell one.
    :param level: how deep the look was: 0 listing, 1 structure, 2 integrity, 3 content.
    :param bytes: size of all its files, in bytes.
    :param findings: in the order of discovery, at most 100.
    :param digest: ``sha256:<hex>`` over names, sizes and CRCs of all files, so that equal content
        has an equal digest; ``None`` below level 2, and when not every file could be read to its
        end.
    :param tensors: number of tensors seen.
    :param mark: stands for names, sizes and times of its files, to recognise that they are still
        those looked at.
    :param world_size: how many processes wrote it, where it says so.
    :param metrics: what the trainer noted of its quality, where it noted something.
    :param ledger: what is remembered of each tensor, to be given with the next look. It is as large
        as the checkpoint has tensors, and not part of :meth:`to_json`.
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
    mark: str = field(default="", compare=False)
    world_size: int | None = None
    metrics: Mapping[str, object] = field(default_factory=dict)
    ledger: Ledger = field(default_factory=Ledger, repr=False, compare=False)

    def accepted(self, *, accept_unverifiable: bool = False) -> bool:
        """
        Whether to train on from this checkpoint.

        :param accept_unverifiable: also take what nothing in the format can prove.
        """
        if self.verdict is Verdict.UNVERIFIABLE:
            return accept_unverifiable
        return self.verdict is Verdict.VALID

    @property
    def transient(self) -> bool:
        """
        Whether another look may say something else: it is being written, or could not be read now.

        What is ``unknown`` for another reason (no known format, beyond a limit) stays so: it is
        passed over.
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
