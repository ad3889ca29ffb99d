"""
The memo of a pickle: values that are stored and fetched again.

A pickler stores nearly everything there and fetches little. A first pass over the instructions
therefore finds out what is fetched, and nothing else is kept; otherwise a ``.metadata`` of 100,000
pieces would not fit into memory. The pass reads no value. If it loses its way it stops, and the
interpreter later refuses what was missed, as a value that was never stored.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.format_error import FormatError

#: Instructions that are read of one pickle; a checkpoint of 100,000 pieces has 7 million.
OPCODE_LIMIT = 7_500_000

_FETCHED_LIMIT = 300_000
# Bytes that Python takes for an entry of a dictionary and its key.
_ENTRY = 100
# Bytes behind an opcode; width of the length of those that vary; lines of those that end so.
_FIXED = {
    **dict.fromkeys(b"(012N])}.aeltdsuRbQo\x85\x86\x87\x88\x89\x81\x8f\x90\x91\x92\x93\x94", 0),
    0x80: 1,
    0x95: 8,
    ord("K"): 1,
    ord("M"): 2,
    ord("J"): 4,
    ord("G"): 8,
    ord("q"): 1,
    ord("r"): 4,
}
_VARIABLE = {
    ord("X"): 4,
    0x8C: 1,
    0x8D: 8,
    ord("T"): 4,
    ord("U"): 1,
    ord("B"): 4,
    ord("C"): 1,
    0x8E: 8,
    0x96: 8,
    0x8A: 1,
    0x8B: 4,
}
_LINES = {**dict.fromkeys(b"ILFSVpPg", 1), **dict.fromkeys(b"ci", 2)}
_FETCHES = {ord("h"): 1, ord("j"): 4}
_STOP, _GET = ord("."), ord("g")


class Memo:
    """
    The values that are fetched again, by index.

    :param data: the pickle, and what may follow it.
    :param begin: its first byte.
    :raises FormatError: ``too-large`` when more is fetched than is kept.
    """

    def __init__(self, data: bytes, begin: int) -> None:
        self._fetched = _fetched(data, begin)
        self._values: dict[int, object] = {}
        self._in_order = 0
        self._out_of_order: set[int] = set()

    def __len__(self) -> int:
        """Number of indices stored, kept or not; also the next index of an implicit store."""
        return self._in_order + len(self._out_of_order)

    def __getitem__(self, index: int) -> object:
        return self._values[index]

    def append(self, value: object) -> int:
        """Store a value at the next index; as :meth:`put`."""
        if self._out_of_order:
            return self.put(len(self), value)
        index = self._in_order
        self._in_order += 1
        if index not in self._fetched:
            return 0
        self._values[index] = value
        return _ENTRY

    def put(self, index: int, value: object) -> int:
        """
        Store a value, and keep it if it is fetched again.

        :return: approximate cost in bytes.
        """
        kept = index in self._fetched
        if kept:
            self._values[index] = value
        if index == self._in_order:
            self._in_order += 1
            while self._out_of_order and self._in_order in self._out_of_order:
                self._out_of_order.discard(self._in_order)
                self._in_order += 1
        elif index > self._in_order:
            self._out_of_order.add(index)
            return 2 * _ENTRY
        return _ENTRY if kept else 0


def _fetched(data: bytes, begin: int) -> set[int]:
    found: set[int] = set()
    at, end, fixed = begin, len(data), _FIXED.get
    for _ in range(OPCODE_LIMIT):
        if at >= end:
            break
        opcode = data[at]
        at += 1
        width = fixed(opcode)
        if width is not None:
            at += width
            if opcode == _STOP:
                break
        elif opcode in _FETCHES:
            width = _FETCHES[opcode]
            found.add(int.from_bytes(data[at : at + width], "little"))
            at += width
        elif opcode in _VARIABLE:
            width = _VARIABLE[opcode]
            at += width + int.from_bytes(data[at : at + width], "little")
        else:
            at = _behind_lines(data, at, opcode, found) or end
        if len(found) > _FETCHED_LIMIT:
            text = f"fetches more than {_FETCHED_LIMIT} objects from its memo; no more are read"
            raise FormatError("too-large", text)
    return found


def _behind_lines(data: bytes, at: int, opcode: int, found: set[int]) -> int:
    """Return where the instruction ends; 0 if there is none."""
    lines = _LINES.get(opcode, 0)
    begin, end = at, at if lines else 0
    for _ in range(lines):
        end = data.find(b"\n", end) + 1
        if not end:
            return 0
    line = data[begin : end - 1]
    if opcode == _GET and line.isdigit() and len(line) < 11:
        found.add(int(line))
    return end
