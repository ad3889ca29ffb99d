"""
The inert pickle interpreter for a pickle of a hundred thousand small objects, such as a ``.metadata`` file.

Does the same as :mod:`~airflow_runai.checkpoints.pickle_machine`, with two savings. An object whose attributes are
plain is kept as one :class:`Flat` instead of a call with a dictionary. And the memo, which a pickler fills with
everything it writes, keeps only what is fetched again; a first pass over the opcodes finds out what that is.
"""

from __future__ import annotations

from collections.abc import Callable

from airflow_runai.checkpoints.examination import Damage
from airflow_runai.checkpoints.pickle_machine import PICKLE_SIZE_LIMIT, Machine
from airflow_runai.checkpoints.pickle_values import Call, Global

__all__ = ["Flat", "load_lean"]

_SIZE = Global("torch", "Size")
_FETCHED_LIMIT = 300_000
_FIELD_LIMIT = 8
# Bytes behind an opcode; those of variable length with the width of their length.
_FIXED = {
    **dict.fromkeys(b"(012N])}.aeltdsuRbQ\x85\x86\x87\x88\x89\x81\x8f\x90\x91\x92\x93\x94", 0),
    **{0x80: 1, 0x95: 8, ord("K"): 1, ord("M"): 2, ord("J"): 4, ord("G"): 8, ord("q"): 1, ord("r"): 4},
}
_VARIABLE = {
    **{ord("X"): 4, 0x8C: 1, 0x8D: 8, ord("T"): 4, ord("U"): 1, ord("B"): 4, ord("C"): 1, 0x8E: 8, 0x96: 8},
    **{0x8A: 1, 0x8B: 4},
}
_FETCHES = {ord("h"): 1, ord("j"): 4}


class Flat:
    """An object of a class that was made without arguments, with plain attributes."""

    __slots__ = ("_keys", "_values", "function")

    def __init__(self, function: Global, keys: tuple[str, ...], values: tuple[object, ...]) -> None:
        self.function = function
        self._keys = keys
        self._values = values

    @property
    def state(self) -> dict[object, object]:
        """Its attributes by name."""
        return dict(zip(self._keys, self._values, strict=True))


def load_lean(data: bytes, on_global: Callable[[str, str], None]) -> object:
    """
    Interpret a whole pickle; for parameters and errors see ``pickle_machine.load_inert``.

    ``torch.Size`` becomes the tuple that it is.
    """
    if len(data) > PICKLE_SIZE_LIMIT:
        raise Damage("pickle-limit", f"pickle of {len(data)} bytes; at most {PICKLE_SIZE_LIMIT} are read")
    machine = _LeanMachine(data, on_global)
    try:
        value = machine.run()
    except (IndexError, KeyError):
        machine.malformed("takes more from the stack or memo than was put there")
    if machine.at != len(data):
        machine.malformed(f"{len(data) - machine.at} bytes after STOP")
    return value


def _fetched(data: bytes) -> set[int]:
    """Which memo entries are fetched. Ends early at what the interpreter will refuse."""
    found: set[int] = set()
    at, end = 0, len(data)
    while at < end and len(found) <= _FETCHED_LIMIT:
        opcode = data[at]
        at += 1
        fixed = _FIXED.get(opcode)
        if fixed is not None:
            at += fixed
        elif opcode in _FETCHES:
            width = _FETCHES[opcode]
            found.add(int.from_bytes(data[at : at + width], "little"))
            at += width
        elif opcode in _VARIABLE:
            width = _VARIABLE[opcode]
            at += width + int.from_bytes(data[at : at + width], "little")
        elif opcode == ord("c"):
            at = data.find(b"\n", data.find(b"\n", at) + 1) + 1 or end
        else:
            break
    return found


class _LeanMachine(Machine):
    """An honest pickle may be larger than the limits, so that beyond them it is not unsafe, but not read."""

    opcode_limit = 9_000_000
    object_limit = 1_500_000
    limit_code = "too-large"

    def __init__(self, data: bytes, on_global: Callable[[str, str], None]) -> None:
        super().__init__(data, 0, on_global)
        self.fetched = _fetched(data)
        if len(self.fetched) > _FETCHED_LIMIT:
            raise Damage(self.limit_code, f"fetches more than {_FETCHED_LIMIT} objects from its memo")
        self.remembered = 0
        self.kept: set[int] = set()
        self.layouts: dict[tuple[str, ...], tuple[str, ...]] = {}

    def memoize(self) -> None:
        self.remember(self.remembered)

    def remember(self, index: int) -> None:
        self.remembered += 1
        if index in self.fetched:
            super().remember(index)
            self.kept.add(id(self.memo[index]))

    def reduce(self, arguments: int) -> None:
        super().reduce(arguments)
        made = self.stack[-1]
        if isinstance(made, Call) and made.function == _SIZE:
            match made.args:
                case (tuple() as numbers,) if all(type(number) is int for number in numbers):
                    self.stack[-1] = numbers
                    self.objects -= 3

    def build(self) -> None:
        super().build()
        made = self.stack[-1]
        if isinstance(made, Call) and id(made) not in self.kept and made.args == () and made.items is None:
            state = made.state
            if isinstance(state, dict) and len(state) <= _FIELD_LIMIT and all(map(_is_plain, state.values())):
                keys = tuple(key for key in state if isinstance(key, str))
                if len(keys) == len(state):
                    self.stack[-1] = Flat(made.function, self.layouts.setdefault(keys, keys), tuple(state.values()))
                    self.objects -= 4 + 2 * len(keys)


def _is_plain(value: object) -> bool:
    if isinstance(value, tuple):
        return all(type(number) is int for number in value)
    return value is None or isinstance(value, str | int)
