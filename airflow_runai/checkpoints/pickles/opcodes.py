"""
Tables of the instructions of a pickle: one line for each opcode.

Protocols 0 and 1 write numbers and texts as lines. Python has not written them by default since
2.x; they are understood only if the pickle does not announce a later protocol.
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_runai.checkpoints.pickles.machine import Machine
from airflow_runai.checkpoints.pickles.values import paired

Action = Callable[[Machine], object]


def _sized(method: Callable[[Machine, int], None], width: int) -> Action:
    """Give a method the number that follows the opcode in so many bytes."""
    # Most numbers are of one byte, of which indexing makes an integer in a third of the time.
    if width == 1:
        return lambda m: method(m, m.take(1)[0])
    return lambda m: method(m, m.unsigned(width))


def _marked(method: Callable[[Machine, list[object]], None]) -> Action:
    """Give a method what was pushed since the last mark."""
    return lambda m: method(m, m.since_mark())


def _by_opcode(actions: dict[str, Action]) -> dict[int, Action]:
    return {ord(opcode): action for opcode, action in actions.items()}


REFUSED = {
    **dict.fromkeys((0x82, 0x83, 0x84), "EXT: an object from the extension registry"),
    ord("P"): "PERSID: a persistent id as text",
    ord("i"): "INST: would call a class",
    ord("o"): "OBJ: would call a class",
    0x97: "NEXT_BUFFER: an out-of-band buffer",
    0x98: "READONLY_BUFFER: an out-of-band buffer",
}

#: Instructions of protocols 2 to 5.
ACTIONS = _by_opcode(
    {
        # the stack
        "\x80": Machine.protocol,
        "\x95": Machine.frame,
        "(": Machine.set_mark,
        "0": Machine.drop,
        "1": Machine.since_mark,
        "2": lambda m: m.push(m.stack[-1]),
        # numbers; small ones weigh nothing, because Python keeps one object of each
        "N": lambda m: m.stack.append(None),
        "\x88": lambda m: m.stack.append(True),
        "\x89": lambda m: m.stack.append(False),
        "J": lambda m: m.push(m.signed(4)),
        "K": lambda m: m.stack.append(m.take(1)[0]),
        "M": _sized(Machine.push, 2),
        "\x8a": _sized(Machine.integer, 1),
        "\x8b": lambda m: m.integer(m.signed(4)),
        "G": Machine.double,
        # texts and bytes
        "X": _sized(Machine.text, 4),
        "\x8c": _sized(Machine.text, 1),
        "\x8d": _sized(Machine.text, 8),
        "T": _sized(Machine.binary, 4),
        "U": _sized(Machine.binary, 1),
        "B": _sized(Machine.binary, 4),
        "C": _sized(Machine.binary, 1),
        "\x8e": _sized(Machine.binary, 8),
        "\x96": _sized(Machine.binary, 8),
        # lists, tuples, dictionaries, sets; a set stands as a list, because nothing is hashed
        "]": lambda m: m.add([], 88),
        "a": lambda m: m.append([m.stack.pop()]),
        "e": _marked(Machine.append),
        "l": _marked(Machine.push),
        ")": lambda m: m.add((), 8),
        "t": lambda m: m.push(tuple(m.since_mark())),
        "\x85": lambda m: m.tuple_of(1),
        "\x86": lambda m: m.tuple_of(2),
        "\x87": lambda m: m.tuple_of(3),
        "}": lambda m: m.add({}, 80),
        "d": lambda m: m.push(paired(m.since_mark())),
        "s": lambda m: m.set_items([m.stack.pop(), m.stack.pop()][::-1]),
        "u": _marked(Machine.set_items),
        "\x8f": lambda m: m.push([]),
        "\x90": _marked(Machine.append),
        "\x91": _marked(Machine.push),
        # classes, calls, references
        "c": lambda m: m.name_global(m.line(), m.line()),
        "\x93": Machine.stack_global,
        "R": lambda m: m.reduce(1),
        "\x81": lambda m: m.reduce(1, made=True),
        "\x92": lambda m: m.reduce(2, made=True),
        "b": Machine.build,
        "Q": Machine.refer,
        # the memo
        "h": lambda m: m.push(m.memo[m.take(1)[0]]),
        "j": lambda m: m.push(m.memo[m.unsigned(4)]),
        "q": _sized(Machine.remember, 1),
        "r": _sized(Machine.remember, 4),
        "\x94": Machine.memoize,
    }
)

#: Further instructions of protocols 0 and 1.
OLD_ACTIONS = _by_opcode(
    {
        "I": Machine.old_integer,
        "L": lambda m: m.push(m.decimal(m.raw_line().removesuffix(b"L"))),
        "F": lambda m: m.push(m.fraction(m.raw_line())),
        "S": lambda m: m.quoted(m.raw_line()),
        "V": lambda m: m.escaped(m.raw_line()),
        "g": lambda m: m.push(m.memo[m.decimal(m.raw_line())]),
        "p": lambda m: m.remember(m.decimal(m.raw_line())),
        "i": lambda m: m.instance(m.line(), m.line()),
        "o": Machine.make,
    }
)
