"""
Checks that the pieces of each tensor of a distributed checkpoint cover it exactly once.

Reads only the index. PyTorch checks the same when it saves (``_validate_global_plan``), not when it
loads: a place that no piece covers keeps what happened to be in memory.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import product
from math import prod

from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.formats.dcp_metadata import Index, Stored

# Ranks cut tensors along a grid, which makes one cell a piece.
_CELLS_A_PIECE = 32
_CELLS_FREE = 1000


def check_tiles(index: Index) -> None:
    """
    Compare tensors, pieces and places.

    :raises FormatError: ``dcp-metadata`` for a piece without a place or a place without a piece,
        ``dcp-tiles``.
    """
    expected: set[tuple[str, tuple[int, ...] | None]] = {(name, None) for name in index.objects}
    for name, stored in index.tensors.items():
        _check_tensor(name, stored)
        expected |= {(name, offsets) for offsets, sizes in stored.chunks.items() if 0 not in sizes}
    lost = expected - index.items.keys()
    if lost:
        name, offsets = min(lost, key=str)
        raise FormatError(
            "dcp-metadata",
            f"{len(lost)} pieces lie nowhere; {shown(name)} at {offsets} is the first",
        )
    for name, offsets in index.items.keys() - expected:
        if offsets is None or offsets not in getattr(index.tensors.get(name), "chunks", ()):
            raise FormatError(
                "dcp-metadata", f"{shown(name)} lies somewhere, but is no piece of any tensor"
            )


def _check_tensor(name: str, stored: Stored) -> None:
    chunks = [(offsets, sizes) for offsets, sizes in stored.chunks.items() if 0 not in sizes]
    for offsets, sizes in chunks:
        if any(at + size > end for at, size, end in zip(offsets, sizes, stored.shape, strict=True)):
            raise _damaged(
                name, f"the piece at {list(offsets)} of size {list(sizes)} reaches out of it"
            )
    covered = sum(prod(sizes) for _, sizes in chunks)
    volume = prod(stored.shape)
    if covered != volume:
        raise _damaged(name, f"its pieces hold {covered} numbers, it has {volume}")
    if len(chunks) > 1:
        _check_overlap(name, chunks)


def _check_overlap(name: str, chunks: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    """
    Check on the grid of all edges that no cell is covered twice.

    The volume is right already, so no cell is left out either.
    """
    dimensions = range(len(chunks[0][0]))
    edges = [
        sorted({value for at, size in chunks for value in (at[d], at[d] + size[d])})
        for d in dimensions
    ]
    cells: set[int] = set()
    for at, size in chunks:
        ranges = [
            range(bisect_left(edges[d], at[d]), bisect_left(edges[d], at[d] + size[d]))
            for d in dimensions
        ]
        if len(cells) + prod(map(len, ranges)) > _CELLS_A_PIECE * len(chunks) + _CELLS_FREE:
            raise FormatError(
                "too-large", f"tensor {shown(name)} is cut in too many ways to compare its pieces"
            )
        for cell in product(*ranges):
            number = 0
            for d in dimensions:
                number = number * len(edges[d]) + cell[d]
            if number in cells:
                raise _damaged(name, f"the piece at {list(at)} overlaps another")
            cells.add(number)


def _damaged(name: str, what: str) -> FormatError:
    return FormatError(
        "dcp-tiles", f"tensor {shown(name)}: {what}; pieces of different saves are mixed"
    )
