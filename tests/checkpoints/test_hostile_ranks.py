"""Hostile distributed and old PyTorch checkpoints, each in a process of its own: little memory, little time."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.checkpoints.bounded_check import bounded_verdict
from tests.checkpoints.distributed_samples import (
    Announced,
    Piece,
    Save,
    mapping,
    number,
    object_piece,
)
from tests.checkpoints.samples import text, write
from tests.checkpoints.test_legacy_torch import MAGIC, legacy_file, tensor

Pieces = dict[tuple[int, ...], tuple[int, ...]]
NESTED = b")" + b"\x85" * 400_000
HEAD = pickle.dumps(MAGIC, 2) + pickle.dumps(1001, 2) + pickle.dumps({}, 2)


def distributed(save: Save) -> Callable[[Path], Path]:
    return lambda folder: save.write(folder / "step-1")


def old(data: bytes) -> Callable[[Path], Path]:
    return lambda folder: write(folder / "x.pt", data)


def pieces(count: int, content: bytes) -> Save:
    names = [f"object{index}" for index in range(count)]
    return Save({}, [Piece(name, None, content) for name in names], objects=names, paths={})


def staggered(count: int) -> Save:
    """Rows that are each cut at another place, so that the grid of all edges has the square of their number."""
    width = count + 1
    chunks: Pieces = {
        (row, at): (1, size)
        for row in range(count)
        for at, size in ((0, row + 1), (row + 1, width - row - 1))
    }
    places = [Piece("w", place, b"x") for place in chunks]
    return Save({"w": Announced((count, width), chunks)}, places, objects=())


def metadata(**fields: bytes) -> Save:
    return Save({}, [Piece("a", None, object_piece(b"N"))], objects=["a"], fields=fields)


HOSTILE: dict[str, Callable[[Path], Path]] = {
    "many pieces of a byte": distributed(pieces(10_000, b"x")),
    "many pieces of nothing": distributed(pieces(10_000, b"")),
    "many small pieces": distributed(pieces(4_000, object_piece(b"N"))),
    "many ways to cut a tensor": distributed(staggered(3_000)),
    "a tensor of astronomical size": distributed(
        Save(
            {"w": Announced(tuple([1 << 62] * 64), {tuple([0] * 64): tuple([1 << 62] * 64)})},
            [],
            objects=(),
        )
    ),
    "deep nesting in a path": distributed(metadata(planner_data=mapping([(text("a"), NESTED)]))),
    "deep nesting in a key": distributed(metadata(planner_data=mapping([(NESTED, b"N")]))),
    "deep nesting in a place": distributed(metadata(storage_data=mapping([(NESTED, NESTED)]))),
    "many lists in the index": distributed(metadata(storage_data=b"]\x94" * 3_000_000)),
    "many lists in an old file": old(HEAD + b"\x80\x02" + b"]\x94" * 20_000_000 + b"."),
    "many storages in an old file": old(
        legacy_file(
            {f"t{index}": tensor(str(index), 0) for index in range(10_000)},
            keys=tuple(str(index) for index in range(10_000)),
            storages=bytes(8 * 10_000),
        )
    ),
    "a huge number in an old file": old(
        HEAD + b"\x80\x02\x8b\x00\x00\x10\x00" + bytes(0x100000) + b"."
    ),
    "a piece of an exabyte": distributed(
        Save(
            {},
            [Piece("a", None, b"PK\3\4", length=1 << 60)],
            objects=["a"],
            fields={"version": number(1 << 60)},
        )
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_checkpoints_of_many_ranks_cost_little(tmp_path: Path, name: str) -> None:
    verdict = bounded_verdict(HOSTILE[name](tmp_path))
    if name not in ("many small pieces", "many storages in an old file"):
        assert verdict in ("invalid", "unsafe", "unknown")
