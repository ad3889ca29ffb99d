"""
The ledger of an accepted checkpoint: dtype, shape, CRC32 and two flags of every tensor.

This is data and its JSON form. :mod:`~airflow_runai.checkpoints.checking.drift` compares two
ledgers; operators store them in their report file. A ledger is small (about 100 bytes a tensor) and
costs no extra reading: the CRCs come from the pass that is made anyway, or from the zip directory.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "runai-ledger/1"
#: Tensors kept per checkpoint; of one with more, lost and new tensors are not reported.
ENTRY_LIMIT = 100_000
# A report file may have been edited by hand, so every value is checked.
_CRC = re.compile(r"[0-9a-f]{8}")


@dataclass(frozen=True)
class TensorEntry:
    """
    One tensor, or one stored piece of a tensor.

    :param dtype: as the format calls it, with ``>`` behind it where the bytes are big-endian.
    :param crc32: of the bytes that hold it (for a view: of the whole storage); ``None`` if they
        were not summed.
    :param zero: every value is zero; ``None`` if unknown.
    :param non_finite: some value is NaN or infinite; ``None`` if unknown.
    :param moved: its bytes changed at least once between two accepted checkpoints, so that it is
        known to be trained.
    """

    dtype: str
    shape: tuple[int, ...]
    crc32: int | None = None
    zero: bool | None = None
    non_finite: bool | None = None
    moved: bool = False

    def to_row(self) -> list[object]:
        """Render as a JSON list, in the order of the fields."""
        crc = None if self.crc32 is None else f"{self.crc32:08x}"
        return [self.dtype, list(self.shape), crc, self.zero, self.non_finite, self.moved]


@dataclass(frozen=True)
class Ledger:
    """
    The tensors and files of one checkpoint.

    :param step: its training step, if known.
    :param tensors: by file (relative to the checkpoint; ``""`` for a checkpoint that is one file)
        and name.
    :param files: (size in bytes, CRC32) of every file that was read to its end.
    :param complete: all tensors are in it; ``False`` beyond :data:`ENTRY_LIMIT`.
    """

    step: int | None = None
    tensors: Mapping[tuple[str, str], TensorEntry] = field(default_factory=dict)
    files: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    complete: bool = True

    def was_non_finite(self, path: str, name: str) -> bool:
        """Whether a tensor held NaN or infinity already, in this file or in the only one."""
        # A checkpoint that is one file has no name of its own in its ledger.
        entries = (self.tensors.get((path, name)), self.tensors.get(("", name)))
        return any(entry is not None and entry.non_finite for entry in entries)

    def to_json(self) -> dict[str, object]:
        """Render as plain JSON data; the inverse is :meth:`from_json`."""
        tensors: dict[str, dict[str, list[object]]] = {}
        for (file, name), entry in self.tensors.items():
            tensors.setdefault(file, {})[name] = entry.to_row()
        files = {name: [size, f"{crc:08x}"] for name, (size, crc) in self.files.items()}
        return {
            "schema": SCHEMA,
            "step": self.step,
            "complete": self.complete,
            "files": files,
            "tensors": tensors,
        }

    @classmethod
    def from_json(cls, value: object) -> Ledger:
        """
        Read what :meth:`to_json` rendered.

        :raises ValueError: for anything else; the message names the place.
        """
        if not isinstance(value, dict) or value.get("schema") != SCHEMA:
            raise ValueError(
                f"ledger: is no ledger; a JSON object with schema {SCHEMA!r} is allowed"
            )
        step, complete = value.get("step"), value.get("complete")
        if not (step is None or _natural(step)) or not isinstance(complete, bool):
            raise ValueError(
                f"ledger: step is {step!r:.40} and complete {complete!r:.40}; "
                "a number and a truth value are expected"
            )
        files = {
            name: _file(name, row) for name, row in _mapping(value.get("files"), "files").items()
        }
        tensors = {
            (file, name): _entry(name, row)
            for file, rows in _mapping(value.get("tensors"), "tensors").items()
            for name, row in _mapping(rows, f"tensors of {file!r:.80}").items()
        }
        return cls(step, tensors, files, complete)


def _natural(value: object) -> bool:
    return type(value) is int and value >= 0


def _mapping(value: object, place: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"ledger: {place} is not a JSON object; it was damaged or edited")
    return value


def _file(name: str, row: object) -> tuple[int, int]:
    match row:
        case [int(size), str(crc)] if _natural(size) and _CRC.fullmatch(crc):
            return size, int(crc, 16)
    raise ValueError(
        f"ledger: file {name!r:.80} is {row!r:.80}; size and CRC32 (8 hex digits) are expected"
    )


def _entry(name: str, row: object) -> TensorEntry:
    match row:
        case [
            str(dtype),
            list(shape),
            (str() | None) as crc,
            (bool() | None) as zero,
            (bool() | None) as non_finite,
            bool(moved),
        ] if all(map(_natural, shape)) and (crc is None or _CRC.fullmatch(crc)):
            return TensorEntry(
                dtype, tuple(shape), None if crc is None else int(crc, 16), zero, non_finite, moved
            )
    expected = "[dtype, shape, crc32, zero, non_finite, moved]"
    raise ValueError(f"ledger: tensor {name!r:.80} is {row!r:.80}; {expected} is expected")
