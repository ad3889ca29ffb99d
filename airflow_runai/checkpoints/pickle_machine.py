"""
A pickle interpreter that cannot do anything: it imports nothing, calls nothing, and has limits of its own.

It understands what PyTorch and Python write with protocols 2 to 5. ``pickle.Unpickler`` with a harmless
``find_class`` would not do: its C memo table allocates 4.1 GiB for a pickle of nine bytes. Everything unusual is
refused, not guessed at.
"""

# ruff: noqa: D102 - what a method of the machine does, its opcode says
from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NoReturn

from airflow_runai.checkpoints.examination import Damage, shown
from airflow_runai.checkpoints.pickle_bytes import Cut, PickleBytes
from airflow_runai.checkpoints.pickle_values import GETATTR, Call, Global, Opaque, Persistent, inside, safe_key

__all__ = ["PICKLE_SIZE_LIMIT", "Machine", "load_first", "load_inert"]

PICKLE_SIZE_LIMIT = 64 * 1024 * 1024
# States and seeds of random generators have 128 bits and a sign, or more.
_INT_SIZE_LIMIT = 256
_SHORT_TEXT = 4096

_REFUSED = {
    **dict.fromkeys((0x82, 0x83, 0x84), "EXT: an object from the extension registry"),
    ord("P"): "PERSID: a persistent id as text",
    ord("i"): "INST: would call a class",
    ord("o"): "OBJ: would call a class",
    0x97: "NEXT_BUFFER: an out-of-band buffer",
    0x98: "READONLY_BUFFER: an out-of-band buffer",
}


def load_inert(data: bytes, on_global: Callable[[str, str], None]) -> object:
    """
    Interpret a pickle into the inert values of :mod:`~airflow_runai.checkpoints.pickle_values`.

    :param data: the whole pickle, at most 64 MiB.
    :param on_global: told (module, name) of every class or function, as soon as it is met.
    :raises Damage: ``pickle-malformed``, ``pickle-opcode`` or ``pickle-limit``.
    """
    if len(data) > PICKLE_SIZE_LIMIT:
        raise Damage("pickle-limit", f"pickle of {len(data)} bytes; at most {PICKLE_SIZE_LIMIT} are read")
    value, end = load_first(data, 0, on_global)
    if end != len(data):
        raise Damage("pickle-malformed", f"pickle, byte {end}: {len(data) - end} bytes after STOP")
    return value


def load_first(data: bytes, begin: int, on_global: Callable[[str, str], None]) -> tuple[object, int]:
    """
    Interpret one of several pickles that follow each other.

    :param begin: its first byte.
    :return: the inert value, and one after its last byte.
    :raises Damage: as :func:`load_inert`.
    """
    machine = Machine(data, begin, on_global)
    try:
        return machine.run(), machine.at
    except (IndexError, KeyError):
        machine.malformed("takes more from the stack or memo than was put there")


class Machine(PickleBytes):
    """Stack and memo; one method per opcode below."""

    opcode_limit = 3_000_000
    object_limit = 1_200_000
    limit_code = "pickle-limit"

    def __init__(self, data: bytes, begin: int, on_global: Callable[[str, str], None]) -> None:
        super().__init__(data, begin)
        self.on_global = on_global
        self.opcodes = 0
        self.objects = 0
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: dict[int, object] = {}
        self.loose = 0
        """Copies of ``getattr`` on the stack or in values, that did more than to name a class inside a class."""

    def run(self) -> object:
        try:
            return self._run()
        finally:
            if self.loose:
                self.on_global("builtins", "getattr")

    def _run(self) -> object:
        data, end = self.data, len(self.data)
        while self.at < end:
            opcode = data[self.at]
            self.at += 1
            self.opcodes += 1
            if self.opcodes > self.opcode_limit or self.objects > self.object_limit:
                raise Damage(self.limit_code, f"more than {self.opcode_limit} opcodes or {self.object_limit} objects")
            if opcode == 0x2E:
                return self.stop()
            action = _ACTIONS.get(opcode)
            if action is None:
                self.refuse(opcode)
            action(self)
        raise Cut(self.at, "ends without STOP; the file was cut")

    def stop(self) -> object:
        if len(self.stack) != 1 or self.marks:
            self.malformed("leaves other than one value on the stack")
        return self.stack[0]

    def refuse(self, opcode: int) -> NoReturn:
        what = _REFUSED.get(opcode)
        if what is None:
            self.malformed(f"opcode 0x{opcode:02x} is not one that PyTorch writes (protocols 2 to 5)")
        raise Damage("pickle-opcode", f"pickle, byte {self.at}: {what}; PyTorch never writes this")

    def push(self, value: object) -> None:
        self.objects += 1
        self.loose += value is GETATTR
        self.stack.append(value)

    def since_mark(self) -> list[object]:
        values = self.stack
        self.stack = self.marks.pop()
        return values

    def remember(self, index: int) -> None:
        if index > self.opcodes:
            raise Damage("pickle-limit", f"memo index {index} after {self.opcodes} opcodes would exhaust a C unpickler")
        self.objects += 1
        self.memo[index] = self.stack[-1]

    def memoize(self) -> None:
        self.remember(len(self.memo))

    def text(self, size: int) -> None:
        content = self.take(size)
        self.push(self.decoded(content) if size <= _SHORT_TEXT else Opaque(size))

    def binary(self, size: int) -> None:
        content = self.take(size)
        self.push(content if size <= _SHORT_TEXT else Opaque(size))

    def integer(self, size: int) -> None:
        if not 0 <= size <= _INT_SIZE_LIMIT:
            raise Damage("pickle-limit", f"integer of {size} bytes; at most {_INT_SIZE_LIMIT} are read")
        self.push(int.from_bytes(self.take(size), "little", signed=True))

    def frame(self) -> None:
        size = self.number("<Q", 8)
        if size > len(self.data) - self.at:
            raise Cut(self.at, f"frame of {size} bytes, {len(self.data) - self.at} are left")

    def protocol(self) -> None:
        version = self.take(1)[0]
        if not 2 <= version <= 5:
            self.malformed(f"protocol {version}; 2 to 5 are read")

    def name_global(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise Damage("pickle-opcode", f"global named by {shown(module)} and {shown(name)} instead of two texts")
        if name == "getattr" and module in ("builtins", "__builtin__"):
            self.push(GETATTR)
            return
        self.on_global(module, name)
        self.push(Global(module, name))

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.name_global(module, name)

    def reduce(self, arguments: int) -> None:
        """Record a call; for NEWOBJ_EX the keyword arguments stay in the recorded arguments."""
        given = [self.stack.pop() for _ in range(arguments)][::-1]
        function = self.stack.pop()
        inner = inside(given[0]) if function is GETATTR else None
        if inner is not None:
            self.loose -= 1
            self.name_global(inner.module, inner.name)
            return
        if not isinstance(function, Global):
            raise Damage("pickle-opcode", f"byte {self.at}: calls {shown(function)}, no named class or function")
        self.push(Call(function, given[0] if arguments == 1 else tuple(given)))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Call):
            raise Damage("pickle-opcode", f"byte {self.at}: sets attributes of {shown(target)}, which is no new object")
        target.state = state

    def set_items(self, pairs: list[object]) -> None:
        target = self.stack[-1]
        if len(pairs) % 2:
            self.malformed("a key without a value")
        if isinstance(target, Call) and not target.function.name.startswith("_rebuild"):
            target.items = target.items if isinstance(target.items, dict) else {}
            target = target.items
        if not isinstance(target, dict):
            self.malformed(f"stores keys into {shown(target)}, which is not a mapping (CVE-2026-24747)")
        for index in range(0, len(pairs), 2):
            target[safe_key(pairs[index])] = pairs[index + 1]

    def append(self, values: list[object]) -> None:
        target = self.stack[-1]
        if isinstance(target, Call) and not target.function.name.startswith("_rebuild"):
            target.items = target.items if isinstance(target.items, list) else []
            target = target.items
        if not isinstance(target, list):
            self.malformed(f"appends to {shown(target)}, which is not a list")
        target.extend(values)

    def tuple_of(self, size: int) -> None:
        if len(self.stack) < size:
            self.malformed("takes more from the stack than was put there")
        values = tuple(self.stack[-size:])
        del self.stack[-size:]
        self.push(values)

    def set_mark(self) -> None:
        self.objects += 1
        self.marks.append(self.stack)
        self.stack = []

    def drop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()


def _pairs(values: list[object]) -> dict[object, object]:
    return {safe_key(values[at]): values[at + 1] for at in range(0, len(values) - 1, 2)}


_ACTIONS: dict[int, Callable[[Machine], None]] = {
    0x80: Machine.protocol,
    0x95: Machine.frame,
    ord("("): Machine.set_mark,
    ord("0"): Machine.drop,
    ord("1"): lambda m: (m.since_mark(), None)[1],
    ord("2"): lambda m: m.push(m.stack[-1]),
    ord("N"): lambda m: m.push(None),
    0x88: lambda m: m.push(True),
    0x89: lambda m: m.push(False),
    ord("J"): lambda m: m.push(m.number("<i", 4)),
    ord("K"): lambda m: m.push(m.take(1)[0]),
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
    ord("]"): lambda m: m.push([]),
    ord("a"): lambda m: m.append([m.stack.pop()]),
    ord("e"): lambda m: m.append(m.since_mark()),
    ord("l"): lambda m: m.push(m.since_mark()),
    ord(")"): lambda m: m.push(()),
    ord("t"): lambda m: m.push(tuple(m.since_mark())),
    0x85: lambda m: m.tuple_of(1),
    0x86: lambda m: m.tuple_of(2),
    0x87: lambda m: m.tuple_of(3),
    ord("}"): lambda m: m.push({}),
    ord("d"): lambda m: m.push(_pairs(m.since_mark())),
    ord("s"): lambda m: m.set_items([m.stack.pop(), m.stack.pop()][::-1]),
    ord("u"): lambda m: m.set_items(m.since_mark()),
    0x8F: lambda m: m.push([]),
    0x90: lambda m: m.append(m.since_mark()),
    0x91: lambda m: m.push(m.since_mark()),
    ord("c"): lambda m: m.name_global(m.line(), m.line()),
    0x93: Machine.stack_global,
    ord("R"): lambda m: m.reduce(1),
    0x81: lambda m: m.reduce(1),
    0x92: lambda m: m.reduce(2),
    ord("b"): lambda m: m.build(),
    ord("Q"): lambda m: m.push(Persistent(m.stack.pop())),
    ord("h"): lambda m: m.push(m.memo[m.take(1)[0]]),
    ord("j"): lambda m: m.push(m.memo[m.number("<I", 4)]),
    ord("q"): lambda m: m.remember(m.take(1)[0]),
    ord("r"): lambda m: m.remember(m.number("<I", 4)),
    0x94: lambda m: m.memoize(),
}
