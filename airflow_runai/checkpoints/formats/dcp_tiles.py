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
from airflow_runai.checkpoints.formats.dcp_metadata import Index, Numbers, Stored

# Ranks cut tensors along a grid, which makes one cell a piece.
_CELLS_A_PIECE = 32
_CELLS_FREE = 1000

_Chunks = list[tuple[Numbers, Numbers]]


def check_tiles(index: Index) -> None:
    """
    Compare tensors, pieces and places.

    :raises FormatError: ``dcp-metadata`` for a piece without a place or a place without a piece,
        ``dcp-tiles``.
    """
    expected: set[tuple[str, Numbers | None]] = {(name, None) for name in index.objects}
    for name, stored in index.tensors.items():
        chunks = _filled(stored)
        _check_tensor(name, stored, chunks)
        expected |= {(name, offsets) for offsets, _ in chunks}
    lost = expected - index.items.keys()
    if lost:
        name, offsets = min(lost, key=str)
        raise FormatError(
            "dcp-metadata",
            f"{len(lost)} pieces lie nowhere; {shown(name)} at {offsets} is the first",
        )
    for name, offsets in index.items.keys() - expected:
        if not _is_empty_piece(index, name, offsets):
            raise FormatError(
                "dcp-metadata", f"{shown(name)} lies somewhere, but is no piece of any tensor"
            )


def _filled(stored: Stored) -> _Chunks:
    # A rank without a part of the tensor names an empty piece.
    return [(offsets, sizes) for offsets, sizes in stored.chunks.items() if 0 not in sizes]


def _is_empty_piece(index: Index, name: str, offsets: Numbers | None) -> bool:
    stored = index.tensors.get(name)
    return stored is not None and offsets is not None and offsets in stored.chunks


def _check_tensor(name: str, stored: Stored, chunks: _Chunks) -> None:
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


def _check_overlap(name: str, chunks: _Chunks) -> None:
    """
    Check on the grid of all edges that no cell is covered twice.

    The volume is right already, so no cell is left out either.
    """
    edges = _edges(chunks)
    limit = _CELLS_A_PIECE * len(chunks) + _CELLS_FREE
    covered: set[int] = set()
    for offsets, sizes in chunks:
        ranges = [
            range(bisect_left(places, at), bisect_left(places, at + size))
            for places, at, size in zip(edges, offsets, sizes, strict=True)
        ]
        # Pieces that lie at random make a grid of more cells than memory holds.
        if len(covered) + prod(map(len, ranges)) > limit:
            raise FormatError(
                "too-large", f"tensor {shown(name)} is cut in too many ways to compare its pieces"
            )
        cells = {_number(cell, edges) for cell in product(*ranges)}
        if not covered.isdisjoint(cells):
            raise _damaged(name, f"the piece at {list(offsets)} overlaps another")
        covered |= cells


def _number(cell: Numbers, edges: list[list[int]]) -> int:
    # A number takes far less memory than a tuple.
    number = 0
    for at, places in zip(cell, edges, strict=True):
        number = number * len(places) + at
    return number


def _edges(chunks: _Chunks) -> list[list[int]]:
    """Return by dimension where pieces begin and end."""
    edges = []
    for dimension in range(len(chunks[0][0])):
        places: set[int] = set()
        for offsets, sizes in chunks:
            at = offsets[dimension]
            places.update((at, at + sizes[dimension]))
        edges.append(sorted(places))
    return edges


def _damaged(name: str, what: str) -> FormatError:
    return FormatError(
        "dcp-tiles", f"tensor {shown(name)}: {what}; pieces of different saves are mixed"
    )
