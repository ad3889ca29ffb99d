"""
Tables of the instructions of a pickle: one line for each opcode.

Protocols 0 and 1 write numbers and texts as lines. Python has not written them by default since
2.x; they are understood only if the pickle does not announce a later protocol.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from airflow_runai.checkpoints.pickles.machine import Machine
from airflow_runai.checkpoints.pickles.values import paired

REFUSED = {
    **dict.fromkeys((0x82, 0x83, 0x84), "EXT: an object from the extension registry"),
    ord("P"): "PERSID: a persistent id as text",
    ord("i"): "INST: would call a class",
    ord("o"): "OBJ: would call a class",
    0x97: "NEXT_BUFFER: an out-of-band buffer",
    0x98: "READONLY_BUFFER: an out-of-band buffer",
}

#: Instructions of protocols 2 to 5.
ACTIONS: dict[int, Callable[[Machine], None]] = {
    0x80: lambda m: m.protocol(),
    0x95: lambda m: m.frame(),
    ord("("): lambda m: m.set_mark(),
    ord("0"): lambda m: m.drop(),
    ord("1"): lambda m: (m.since_mark(), None)[1],
    ord("2"): lambda m: m.push(m.stack[-1]),
    ord("N"): lambda m: m.stack.append(None),
    0x88: lambda m: m.stack.append(True),
    0x89: lambda m: m.stack.append(False),
    ord("J"): lambda m: m.push(m.number("<i", 4)),
    ord("K"): lambda m: m.stack.append(m.take(1)[0]),
    ord("M"): lambda m: m.push(m.number("<H", 2)),
    0x8A: lambda m: m.integer(m.take(1)[0]),
    0x8B: lambda m: m.integer(m.number("<i", 4)),
    ord("G"): lambda m: m.push(struct.unpack(">d", m.take(8))[0]),
    ord("X"): lambda m: m.text(m.number("<I", 4)),
    0x8C: lambda m: m.text(m.take(1)[0]),
    0x8D: lambda m: m.text(m.number("<Q", 8)),
    ord("T"): lambda m: m.binary(m.number("<I", 4)),
    ord("U"): lambda m: m.binary(m.take(1)[0]),
    ord("B"): lambda m: m.binary(m.number("<I", 4)),
    ord("C"): lambda m: m.binary(m.take(1)[0]),
    0x8E: lambda m: m.binary(m.number("<Q", 8)),
    0x96: lambda m: m.binary(m.number("<Q", 8)),
    ord("]"): lambda m: m.add([], 88),
    ord("a"): lambda m: m.append([m.stack.pop()]),
    ord("e"): lambda m: m.append(m.since_mark()),
    ord("l"): lambda m: m.push(m.since_mark()),
    ord(")"): lambda m: m.add((), 8),
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("}"): lambda m: m.add({}, 80),
    ord("d"): lambda m: m.push(paired(m.since_mark())),
    ord("s"): lambda m: m.set_items([m.stack.pop(), m.stack.pop()][::-1]),
    ord("u"): lambda m: m.set_items(m.since_mark()),
    0x8F: lambda m: m.push([]),
    0x90: lambda m: m.append(m.since_mark()),
    0x91: lambda m: m.push(m.since_mark()),
    ord("c"): lambda m: m.name_global(m.line(), m.line()),
    0x93: lambda m: m.stack_global(),
    ord("R"): lambda m: m.reduce(1),
    0x81: lambda m: m.reduce(1, made=True),
    0x92: lambda m: m.reduce(2, made=True),
    ord("b"): lambda m: m.build(),
    ord("Q"): lambda m: m.refer(),
    ord("h"): lambda m: m.push(m.memo[m.take(1)[0]]),
    ord("j"): lambda m: m.push(m.memo[m.number("<I", 4)]),
    ord("q"): lambda m: m.remember(m.take(1)[0]),
    ord("r"): lambda m: m.remember(m.number("<I", 4)),
    0x94: lambda m: m.memoize(),
}

#: Further instructions of protocols 0 and 1.
OLD_ACTIONS: dict[int, Callable[[Machine], None]] = {
    ord("I"): lambda m: m.push(
        {b"00": False, b"01": True}.get(line := m.raw_line(), m.decimal(line))
    ),
    ord("L"): lambda m: m.push(m.decimal(m.raw_line().removesuffix(b"L"))),
    ord("F"): lambda m: m.push(m.fraction(m.raw_line())),
    ord("S"): lambda m: m.quoted(m.raw_line()),
    ord("V"): lambda m: m.escaped(m.raw_line()),
    ord("g"): lambda m: m.push(m.memo[m.decimal(m.raw_line())]),
    ord("p"): lambda m: m.remember(m.decimal(m.raw_line())),
    ord("i"): lambda m: m.instance(m.line(), m.line()),
    ord("o"): lambda m: m.make(),
}
