"""
Compares a checkpoint with the ledger of the last accepted one.

Finds what no check of one checkpoint can: files left over from an earlier save, tensors that
changed places, lost their width or their values. Decides by CRCs and reads no file. A healthy
training is never refused: one tensor that does not change is normal (it is frozen, or its updates
round to nothing); a whole file that does not change, although it was trained before, is not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import NamedTuple

from airflow_runai.checkpoints.checking.findings import CODES, Finding
from airflow_runai.checkpoints.checking.ledger import Ledger, TensorEntry

# Shards and steps are numbered in file names; what is between the numbers stays the same in each
# checkpoint.
_NUMBERS = re.compile(
    r"-\d{5}-of-\d{5}|(?<=step)[-_=]?\d+|(?<=iter)[-_=]?\d+|(?<=checkpoint)[-_=]\d+|(?<=ckpt)[-_=]\d+"
)
_FLOAT = re.compile(r"b?f(loat)?\d|float|half|double|bfloat|complex", re.IGNORECASE)
# An optimizer's moments decay to zero by themselves where no gradient arrives; masks may be zero at
# any time.
_MAY_BECOME_ZERO = ("exp_avg", "momentum_buffer", "square_avg", "mask")
#: Below this many numbers a tensor may well round to the same bytes from step to step.
_LARGE = 1024
_MEANT = "if that is meant, begin a new ledger"

_Key = tuple[str, str]


class _LedgerTensor(NamedTuple):
    """One tensor of a ledger."""

    file: str
    name: str
    entry: TensorEntry


@dataclass(frozen=True)
class _Pair:
    """One tensor, then and now."""

    file: str
    name: str
    old: TensorEntry
    new: TensorEntry

    @property
    def changed(self) -> bool:
        return self.comparable and self.old.crc32 != self.new.crc32

    @property
    def still(self) -> bool:
        return self.comparable and self.old.crc32 == self.new.crc32

    @property
    def comparable(self) -> bool:
        return None not in (self.old.crc32, self.new.crc32)

    @property
    def is_float(self) -> bool:
        return _FLOAT.match(self.new.dtype) is not None


def compare(
    before: Ledger, now: Ledger, *, intact: bool = False, written: Collection[str] = ()
) -> tuple[Finding, ...]:
    """
    Compare the tensors with those of the last accepted checkpoint.

    If this checkpoint is older than that one, only dtypes and shapes are compared.

    :param intact: the format's own checksums prove the bytes, so that a difference is no damage to
        them.
    :param written: files whose bytes a manifest proves to be what the training wrote.
    :return: findings, at most one per code and file.
    """
    return tuple(_compare(before, now, intact, written))


def advance(before: Ledger, now: Ledger) -> Ledger:
    """Return ``now`` with what ``before`` knows about which tensors are trained."""
    old_tensors = _by_identity(before)
    tensors = dict(now.tensors)
    for (file, name), entry in now.tensors.items():
        old = old_tensors.get(_identity(file, name))
        if old is None:
            continue
        pair = _Pair(file, name, old.entry, entry)
        if pair.old.moved or pair.changed:
            tensors[file, name] = replace(entry, moved=True)
    return replace(now, tensors=tensors)


def _compare(
    before: Ledger, now: Ledger, intact: bool, written: Collection[str]
) -> Iterator[Finding]:
    old, new = _by_identity(before), _by_identity(now)
    pairs = [_paired(old[key], tensor) for key, tensor in new.items() if key in old]
    yield from _structure(pairs)
    if before.step is not None and now.step is not None and now.step < before.step:
        return
    if before.complete and now.complete:
        yield from _names(old, new)
    yield from _swapped(pairs)
    yield from _zeroed(pairs)
    if before.step is None or now.step is None:
        return
    if now.step == before.step:
        yield from _same_step(pairs, intact, before.step)
    else:
        yield from _movement(pairs, written, f"step went from {before.step} to {now.step}")


def _by_identity(ledger: Ledger) -> dict[_Key, _LedgerTensor]:
    return {
        _identity(file, name): _LedgerTensor(file, name, entry)
        for (file, name), entry in ledger.tensors.items()
    }


def _paired(old: _LedgerTensor, new: _LedgerTensor) -> _Pair:
    return _Pair(new.file, new.name, old.entry, new.entry)


def _identity(file: str, name: str) -> _Key:
    return _NUMBERS.sub("#", file), name


def _structure(pairs: list[_Pair]) -> Iterator[Finding]:
    dtypes = [pair for pair in pairs if pair.old.dtype != pair.new.dtype]
    if dtypes:
        text = f"was {dtypes[0].old.dtype}, is {dtypes[0].new.dtype} now"
        yield _finding("dtype-drift", dtypes, f"{text}; {_MEANT}")
    shapes = [pair for pair in pairs if pair.old.shape != pair.new.shape]
    if shapes:
        text = f"was {list(shapes[0].old.shape)}, is {list(shapes[0].new.shape)} now"
        yield _finding("shape-drift", shapes, f"{text}; {_MEANT}")


def _names(
    old: Mapping[_Key, _LedgerTensor], new: Mapping[_Key, _LedgerTensor]
) -> Iterator[Finding]:
    lost = [_paired(tensor, tensor) for key, tensor in old.items() if key not in new]
    text = "was in the last accepted checkpoint and is not in this one"
    yield from _noted("tensor-lost", lost, f"{text}; loaders would begin it anew; {_MEANT}")
    if old:
        added = [_paired(tensor, tensor) for key, tensor in new.items() if key not in old]
        yield from _noted("tensor-new", added, "was not in the last accepted checkpoint")


def _swapped(pairs: list[_Pair]) -> Iterator[Finding]:
    changed = [pair for pair in pairs if pair.changed]
    # What each tensor became, by what it was: looked up, because all pairs would be 10^10.
    became: dict[tuple[object, ...], set[int | None]] = {}
    for pair in changed:
        old = (pair.old.crc32, pair.old.shape)
        became.setdefault(old, set()).add(pair.new.crc32)
    swapped = []
    for pair in changed:
        new = (pair.new.crc32, pair.new.shape)
        if pair.old.crc32 in became.get(new, ()):
            swapped.append(pair)
    text = "holds the bytes that another tensor of its shape had, and vice versa"
    yield from _noted("tensors-swapped", swapped, text)


def _zeroed(pairs: list[_Pair]) -> Iterator[Finding]:
    became_zero = [pair for pair in pairs if pair.old.zero is False and pair.new.zero]
    zeroed = []
    for pair in became_zero:
        last = pair.name.rpartition(".")[2]
        excused = any(part in last for part in _MAY_BECOME_ZERO)
        # One number may well be zero: a step, a scale.
        if prod(pair.new.shape) > 1 and not excused:
            zeroed.append(pair)
    text = "is all zero now, and was not in the last accepted checkpoint"
    yield from _noted("zeroed", zeroed, text)


def _same_step(pairs: list[_Pair], intact: bool, step: int) -> Iterator[Finding]:
    changed = [pair for pair in pairs if pair.changed]
    text = f"has other bytes than when step {step} was accepted"
    if intact:
        text = f"{text}; their checksums hold, so this step was saved once more"
        yield from _noted("saved-again", changed, text)
    else:
        text = f"{text}, and nothing proves them; {_MEANT}"
        yield from _noted("changed-since-accepted", changed, text)


def _movement(pairs: list[_Pair], written: Collection[str], advanced: str) -> Iterator[Finding]:
    floats = [pair for pair in pairs if pair.is_float and (pair.changed or pair.still)]
    if floats and all(pair.still for pair in floats):
        text = f"is as it was, like all others, though the {advanced}"
        yield _finding("weights-frozen", floats, text)
        return
    by_file: dict[str, list[_Pair]] = {}
    for pair in floats:
        by_file.setdefault(pair.file, []).append(pair)
    for file, inside in by_file.items():
        if all(pair.still for pair in inside):
            yield _still_file(inside, file in written, advanced)
        else:
            yield from _still_tensors(inside, advanced)


def _still_file(inside: list[_Pair], written: bool, advanced: str) -> Finding:
    """Judge a file that does not change while others do."""
    # If a manifest names its bytes, the training itself wrote them again.
    if not written and any(pair.old.moved for pair in inside):
        text = f"is as it was although it is trained and the {advanced}"
        return _finding("stale-file", inside, f"{text}: left over from an earlier save; {_MEANT}")
    code = "tensors-unchanged" if written else "file-unchanged"
    text = f"is as it was, like all of its file, though the {advanced}: frozen, or left over"
    return _finding(code, inside, text)


def _still_tensors(inside: list[_Pair], advanced: str) -> Iterator[Finding]:
    trained = [pair for pair in inside if pair.still and pair.old.moved]
    stuck = [pair for pair in trained if prod(pair.new.shape) >= _LARGE]
    text = f"is trained, and yet as it was although the {advanced}"
    yield from _noted("tensors-unchanged", stuck, text)


def _noted(code: str, pairs: Sequence[_Pair], text: str) -> Iterator[Finding]:
    """Make one finding of all tensors, if there are any."""
    if pairs:
        yield _finding(code, pairs, text)


def _finding(code: str, pairs: Sequence[_Pair], text: str) -> Finding:
    """Make one finding of many tensors: their number, and the first three by name."""
    count = len(pairs)
    names = ", ".join(repr(pair.name)[:80] for pair in pairs[:3])
    subject = f"{count} tensors, such as {names}: each" if count > 1 else f"tensor {names}"
    files = {pair.file for pair in pairs}
    path = files.pop() if len(files) == 1 else ""
    return Finding(code, CODES[code].severity, path, f"{subject} {text}")
