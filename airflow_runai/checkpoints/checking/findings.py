"""
Findings: every code that a check may report, its severity, and the verdict that it leads to.

Data only. All codes stand in one table, :data:`CODES`, so that no format can invent a private
meaning.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from typing import Literal, NamedTuple


class Verdict(str, Enum):
    """What a check concludes; :mod:`.verdict` says which findings lead to which."""

    VALID = "valid"
    """Nothing wrong was found at this level, and the bytes prove themselves."""
    UNVERIFIABLE = "unverifiable"
    """Nothing wrong was found, but nothing in the format can prove the bytes either."""
    IN_PROGRESS = "in_progress"
    """It is still being written."""
    INVALID = "invalid"
    """Torn, missing or inconsistent."""
    POISONED = "poisoned"
    """The bytes are intact, the content is bad (not-a-number weights)."""
    UNSAFE = "unsafe"
    """Loading it could run a command or exhaust the machine."""
    UNKNOWN = "unknown"
    """It cannot be read now, or its format is unknown; ``Report.transient`` says which."""

    def __str__(self) -> str:
        return self.value


Severity = Literal["error", "warning", "info"]


class Code(NamedTuple):
    """The meaning of a finding code."""

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


#: Codes that a user may accept; each is a warning then. They are about what the numbers mean, never
#: about bytes that are damaged, missing or dangerous.
ACCEPTABLE = frozenset(
    {
        "step-disagrees",
        "ranks-disagree",
        "non-finite",
        "zeroed",
        "tensor-lost",
        "dtype-drift",
        "shape-drift",
        "stale-file",
        "file-unchanged",
    }
)


def not_acceptable(codes: Iterable[str]) -> str:
    """Say which of some codes no user can accept, and which they can; empty if all are fine."""
    unknown = sorted(set(codes) - ACCEPTABLE)
    if not unknown:
        return ""
    allowed = ", ".join(sorted(ACCEPTABLE))
    return f"{', '.join(map(repr, unknown))}; allowed: {allowed}"


#: Codes that make a checkpoint unknown only for now; a later check may say something else.
TRANSIENT = frozenset({"unreadable"})


@dataclass(frozen=True)
class Finding:
    """
    One observation about a checkpoint.

    :param code: a key of :data:`CODES`; stable, to be matched on.
    :param severity: ``error`` decides the verdict, ``warning`` and ``info`` do not refuse.
    :param path: file (relative to the checkpoint) or the checkpoint itself.
    :param message: the value found, what is allowed, and what to do.
    """

    code: str
    severity: Severity
    path: str
    message: str
