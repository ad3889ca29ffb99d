"""
What a check has found so far: findings, checksums, tensors, steps.

Parts of a checkpoint that are checked at the same time write into accounts of their own, which are
merged afterwards. Each field declares its rule of merging; a field without one is refused.
"""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from itertools import islice
from typing import Any

from airflow_runai.checkpoints.checking.findings import Finding
from airflow_runai.checkpoints.checking.ledger import ENTRY_LIMIT, Ledger, TensorEntry
from airflow_runai.checkpoints.checking.step_claim import StepClaim
from airflow_runai.checkpoints.storage.listing import Listing

#: A report is printed and stored as one line of JSON.
MAX_FINDINGS = 100
_MORE_FINDINGS = "there are more findings than are listed here; repair these first"

_Rule = Callable[[Any, Any], Any]
_Entries = dict[tuple[str, str], TensorEntry]


def _add_finding(findings: list[Finding], finding: Finding) -> None:
    if finding in findings:
        return
    if len(findings) < MAX_FINDINGS:
        findings.append(finding)
    elif len(findings) == MAX_FINDINGS:
        findings.append(Finding("more-findings", "info", finding.path, _MORE_FINDINGS))


def _add_findings(whole: list[Finding], part: list[Finding]) -> list[Finding]:
    for finding in part:
        _add_finding(whole, finding)
    return whole


def _add_entries(whole: _Entries, part: _Entries) -> _Entries:
    # One more than the limit is kept, so that the ledger can tell that it is not complete.
    for key, entry in part.items():
        if len(whole) > ENTRY_LIMIT:
            break
        whole[key] = entry
    return whole


def _first_known(whole: Any, part: Any) -> Any:
    return part if whole is None else whole


def _first_filled(whole: Any, part: Any) -> Any:
    return whole or part


_UNION = {"merge": operator.ior}
_APPENDED = {"merge": operator.iadd}
_SUM = {"merge": operator.add}
_MAXIMUM = {"merge": max}
_FIRST_KNOWN = {"merge": _first_known}
_FIRST_FILLED = {"merge": _first_filled}


def _merge_rules(account: type[CheckAccount]) -> Mapping[str, _Rule]:
    missing = [item.name for item in fields(account) if "merge" not in item.metadata]
    if missing:
        raise TypeError(f"{account.__name__}: no merge rule for {', '.join(missing)}")
    return {item.name: item.metadata["merge"] for item in fields(account)}


@dataclass
class CheckAccount:
    """
    What was found in one checkpoint, or in one part of it.

    :param findings: the first 100, in the order of discovery.
    :param codes: of all findings, listed or not; the verdict is made of them.
    :param crcs: (size, CRC32) of every file that was read to its end, by relative path.
    :param manifest_verified: files whose bytes a manifest proves.
    :param checksum_matched: files whose object store keeps the very checksum of the manifest; level
        2 need not read them.
    :param excluded: files that describe the checkpoint and are not part of its content.
    :param entries: what a ledger keeps, by relative path and name of the tensor.
    :param tensors: number of tensors.
    :param tensor_names: by relative path of the file that holds them.
    :param world_size: number of processes that wrote it, if it says so.
    :param metrics: what the trainer noted of its quality.
    :param steps: every statement of the training step.
    :param name_binds: whether a step in the name binds, if a format knows.
    :param learning_rates: of schedulers, by relative path.
    :param skipped_steps: updates that the trainer counts as skipped.
    """

    findings: list[Finding] = field(default_factory=list, metadata={"merge": _add_findings})
    codes: set[str] = field(default_factory=set, metadata=_UNION)
    crcs: dict[str, tuple[int, int]] = field(default_factory=dict, metadata=_UNION)
    manifest_verified: set[str] = field(default_factory=set, metadata=_UNION)
    checksum_matched: set[str] = field(default_factory=set, metadata=_UNION)
    excluded: set[str] = field(default_factory=set, metadata=_UNION)
    entries: _Entries = field(default_factory=dict, metadata={"merge": _add_entries})
    tensors: int = field(default=0, metadata=_SUM)
    tensor_names: dict[str, frozenset[str]] = field(default_factory=dict, metadata=_UNION)
    world_size: int | None = field(default=None, metadata=_FIRST_KNOWN)
    metrics: Mapping[str, object] = field(default_factory=dict, metadata=_FIRST_FILLED)
    steps: list[StepClaim] = field(default_factory=list, metadata=_APPENDED)
    name_binds: bool | None = field(default=None, metadata=_FIRST_KNOWN)
    learning_rates: dict[str, float] = field(default_factory=dict, metadata=_UNION)
    skipped_steps: int = field(default=0, metadata=_MAXIMUM)

    def __post_init__(self) -> None:
        _merge_rules(type(self))

    def merge(self, part: CheckAccount) -> None:
        """Take over what was found in a part."""
        for name, rule in _merge_rules(type(self)).items():
            setattr(self, name, rule(getattr(self, name), getattr(part, name)))

    def for_part(self, name: str) -> CheckAccount:
        """Open the account of one file, which knows what has been proven of it so far."""
        crcs = {name: self.crcs[name]} if name in self.crcs else {}
        return CheckAccount(
            crcs=crcs,
            manifest_verified=self.manifest_verified,
            checksum_matched=self.checksum_matched,
        )

    def add(self, finding: Finding) -> None:
        """Record a finding once; beyond the first 100 only its code."""
        # The verdict needs the code even where the finding is not listed.
        self.codes.add(finding.code)
        _add_finding(self.findings, finding)

    def found_error_since(self, count: int) -> bool:
        """Return whether an error is listed after the first ``count`` findings."""
        return any(finding.severity == "error" for finding in self.findings[count:])

    def enter(self, path: str, name: str, entry: TensorEntry) -> None:
        """
        Record a tensor for the ledger; beyond :data:`ENTRY_LIMIT` it is left out.

        :param path: file that holds it, relative to the checkpoint.
        :param name: unique within that file and the same in every checkpoint of a training.
        """
        if len(self.entries) <= ENTRY_LIMIT:
            self.entries[path, name] = entry

    def ledger(self, tree: Listing, step: int | None) -> Ledger:
        """Make the ledger; a checkpoint that is one file has no name of its own in it."""
        tensors, files = {}, {}
        for (path, name), entry in islice(self.entries.items(), ENTRY_LIMIT):
            tensors["" if tree.single else path, name] = entry
        for path, size_and_crc in self.crcs.items():
            if path not in self.excluded:
                files["" if tree.single else path] = size_and_crc
        return Ledger(step, tensors, files, len(self.entries) <= ENTRY_LIMIT)

    def digest(self, tree: Listing) -> str | None:
        """Digest of names, sizes and CRCs; ``None`` unless every file was read to its end."""
        content = set(tree.files) - self.excluded
        if not content or not content <= set(self.crcs):
            return None
        digest = hashlib.sha256()
        # Names and sizes, too, so that bytes cannot move from one file to the next unseen.
        for name in sorted(content):
            size, crc = self.crcs[name]
            digest.update(f"{name} {size} {crc:08x}\n".encode("utf-8", "surrogateescape"))
        return f"sha256:{digest.hexdigest()}"
