"""
The stack and the memo of the pickle interpreter; every method carries out one opcode.

Nothing is imported, called or built. What no pickler writes and what exhausts a loader is
``pickle-limit``; a regular pickle beyond the limits here is ``too-large``.
"""

# ruff: noqa: D102 - the opcode says what a method does
from __future__ import annotations

import codecs
import struct
from collections.abc import Callable

from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.pickles.memo import OPCODE_LIMIT, Memo
from airflow_runai.checkpoints.pickles.mentions import Mentions
from airflow_runai.checkpoints.pickles.stream import Cut, PickleBytes
from airflow_runai.checkpoints.pickles.values import (
    GETATTR,
    Call,
    Global,
    Opaque,
    Persistent,
    inside,
    paired,
)

#: Called with module and name of a class or function.
OnGlobal = Callable[[str, str], None]

# Of all values together; about, in bytes.
_WEIGHT_LIMIT = 216 * 1024 * 1024
_WEIGHTS = {
    list: 88,
    dict: 80,
    tuple: 56,
    int: 40,
    float: 32,
    str: 57,
    bytes: 41,
    Call: 72,
    bool: 8,
    type(None): 8,
}
_ITEM, _PAIR, _OTHER, _MARK = 8, 40, 64, 128
# Between two marks a pickler puts a handful of values.
_LOOSE_LIMIT = 10_000
_SIZE = Global("torch", "Size")
# States and seeds of random generators have 128 bits and a sign, or more.
_INT_SIZE_LIMIT = 256
_SHORT_TEXT = 4096
_OLD_BOOLEANS = {b"00": False, b"01": True}


class Machine(PickleBytes):
    """Stack and memo; one method per opcode below."""

    def __init__(self, data: bytes, begin: int, on_global: OnGlobal) -> None:
        super().__init__(data, begin)
        self.on_global = on_global
        self.opcodes = 0
        self.weight = 0
        self.protocol_seen = 0
        self.stack: list[object] = []
        self.marks: list[list[object]] = []
        self.memo: Memo = Memo(data, begin)
        self.loose = 0
        """Copies of ``getattr`` that do more than name a class inside a class."""

    def stop(self) -> object:
        self.refuse_loose_values()
        if len(self.stack) != 1 or self.marks:
            self.malformed("leaves other than one value on the stack")
        return self.stack[0]

    def refuse_loose_values(self) -> None:
        if not self.marks and len(self.stack) > _LOOSE_LIMIT:
            text = f"leaves {len(self.stack)} loose values on the stack; no pickler does"
            raise FormatError("pickle-limit", text)

    def check_limits(self) -> None:
        self.refuse_loose_values()
        if 4 * len(self.memo) > 3 * self.opcodes:
            text = f"puts {len(self.memo)} values into the memo in {self.opcodes} instructions"
            raise FormatError("pickle-limit", text)
        if self.opcodes > OPCODE_LIMIT or self.weight > _WEIGHT_LIMIT:
            text = f"more than {OPCODE_LIMIT} instructions, or {_WEIGHT_LIMIT} bytes of values"
            raise FormatError("too-large", text)

    def push(self, value: object) -> None:
        self.weight += _WEIGHTS.get(type(value), _OTHER)
        self.loose += value is GETATTR
        self.stack.append(value)

    def add(self, value: object, weight: int) -> None:
        self.weight += weight
        self.stack.append(value)

    def since_mark(self) -> list[object]:
        values = self.stack
        self.stack = self.marks.pop()
        self.weight -= _MARK
        return values

    def remember(self, index: int) -> None:
        if index > self.opcodes or index < 0:
            text = f"memo index {index} after {self.opcodes} opcodes would exhaust a C unpickler"
            raise FormatError("pickle-limit", text)
        self.weight += self.memo.put(index, self.stack[-1])

    def memoize(self) -> None:
        self.weight += self.memo.append(self.stack[-1])

    def text(self, size: int) -> None:
        content = self.take(size)
        width = 1 if content.isascii() else 4
        self.weight += width * min(size, _SHORT_TEXT)
        self.push(self.decoded(content) if size <= _SHORT_TEXT else Opaque(size))

    def binary(self, size: int) -> None:
        content = self.take(size)
        self.weight += min(size, _SHORT_TEXT)
        self.push(content if size <= _SHORT_TEXT else Opaque(size))

    def integer(self, size: int) -> None:
        if not 0 <= size <= _INT_SIZE_LIMIT:
            text = f"integer of {size} bytes; at most {_INT_SIZE_LIMIT} are read"
            raise FormatError("pickle-limit", text)
        self.push(self.signed(size))

    def double(self) -> None:
        (value,) = struct.unpack(">d", self.take(8))
        self.push(value)

    def old_integer(self) -> None:
        line = self.raw_line()
        number = self.decimal(line)
        # Protocols 0 and 1 have no opcodes for truth values; only these have a leading zero.
        self.push(_OLD_BOOLEANS.get(line, number))

    def frame(self) -> None:
        size = self.unsigned(8)
        if size > len(self.data) - self.at:
            raise Cut(self.at, f"frame of {size} bytes, {len(self.data) - self.at} are left")

    def protocol(self) -> None:
        version = self.take(1)[0]
        if not 2 <= version <= 5:
            self.malformed(f"protocol {version}; 2 to 5 are announced by those who write them")
        self.protocol_seen = version

    def name_global(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            text = f"global named by {shown(module)} and {shown(name)} instead of two texts"
            raise FormatError("pickle-opcode", text)
        if name == "getattr" and module in ("builtins", "__builtin__"):
            self.push(GETATTR)
            return
        self.on_global(module, name)
        self.push(Global(module, name))

    def quoted(self, line: bytes) -> None:
        quote = line[:1]
        if len(line) < 2 or not line.endswith(quote) or quote not in (b"'", b'"'):
            self.malformed(f"{shown(line[:40])} is no text in quotes")
        self.spelled(line, lambda: self.unquoted(line))

    def unquoted(self, line: bytes) -> str:
        content, _ = codecs.escape_decode(line[1:-1])
        return self.decoded(content)

    def escaped(self, line: bytes) -> None:
        self.spelled(line, lambda: line.decode("raw-unicode-escape"))

    def spelled(self, line: bytes, text: Callable[[], str]) -> None:
        size = len(line)
        # A character of Python's text takes up to 4 bytes.
        self.weight += 4 * min(size, _SHORT_TEXT)
        try:
            self.push(text() if size <= _SHORT_TEXT else Opaque(size))
        except ValueError:
            self.malformed(f"{shown(line[:40])} is no text")

    def instance(self, module: str, name: str) -> None:
        args = tuple(self.since_mark())
        self.name_global(module, name)
        self.stack.append(args)
        self.reduce(1)

    def make(self) -> None:
        function, *args = self.since_mark()
        self.stack += [function, tuple(args)]
        self.reduce(1)

    def stack_global(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        self.name_global(module, name)

    def reduce(self, arguments: int, *, made: bool = False) -> None:
        """
        Record a call; for NEWOBJ_EX the keyword arguments stay in the recorded arguments.

        :param made: whether only ``__new__`` is called, and no function or constructor.
        """
        args = [self.stack.pop() for _ in range(arguments)][::-1]
        function = self.stack.pop()
        inner = inside(args[0]) if function is GETATTR else None
        if inner is not None:
            self.loose -= 1
            self.name_global(inner.module, inner.name)
        elif isinstance(function, Global):
            if isinstance(self.on_global, Mentions):
                self.on_global.called(function, args[0], made=made)
            self.record(function, args[0] if arguments == 1 else tuple(args))
        else:
            text = f"byte {self.at}: calls {shown(function)}, no named class or function"
            raise FormatError("pickle-opcode", text)

    def record(self, function: Global, args: object) -> None:
        match args:
            # A distributed checkpoint has hundreds of thousands of these; the tuple stands for it.
            case (tuple() as numbers,) if function == _SIZE:
                self.weight -= _WEIGHTS[tuple]
                self.stack.append(numbers)
            case _:
                self.push(Call(function, args))

    def refer(self) -> None:
        # Before PyTorch 1.6 a class was written as a persistent id, with its source beside it.
        match identity := self.stack.pop():
            case ("module", Global() as named, _, _):
                self.stack.append(named)
            case _:
                self.push(Persistent(identity))

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, Call):
            text = f"byte {self.at}: sets attributes of {shown(target)}, which is no new object"
            raise FormatError("pickle-opcode", text)
        target.state = state

    def set_items(self, pairs: list[object]) -> None:
        target = self.target(dict)
        if len(pairs) % 2:
            self.malformed("a key without a value")
        if not isinstance(target, dict):
            text = f"stores keys into {shown(target)}, which is not a mapping (CVE-2026-24747)"
            self.malformed(text)
        self.weight += len(pairs) // 2 * _PAIR
        target.update(paired(pairs))

    def append(self, values: list[object]) -> None:
        target = self.target(list)
        if not isinstance(target, list):
            self.malformed(f"appends to {shown(target)}, which is not a list")
        self.weight += len(values) * _ITEM
        target.extend(values)

    def target(self, container: type[dict[object, object]] | type[list[object]]) -> object:
        """Return what items are stored into: the top of the stack, or what stands for an object."""
        target = self.stack[-1]
        # No pickler stores items into a tensor, which is what these functions return.
        if not isinstance(target, Call) or target.function.name.startswith("_rebuild"):
            return target
        if not isinstance(target.items, container):
            target.items = container()
        return target.items

    def tuple_of(self, size: int) -> None:
        if len(self.stack) < size:
            self.malformed("takes more from the stack than was put there")
        values = tuple(self.stack[-size:])
        del self.stack[-size:]
        self.add(values, _WEIGHTS[tuple])

    def set_mark(self) -> None:
        self.weight += _MARK
        self.marks.append(self.stack)
        self.stack = []

    def drop(self) -> None:
        if self.stack:
            self.stack.pop()
        else:
            self.since_mark()
