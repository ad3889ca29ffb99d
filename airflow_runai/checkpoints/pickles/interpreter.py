"""
An inert pickle interpreter: it imports nothing, calls nothing, and has limits.

It understands what PyTorch and Python write with protocols 0 to 5. ``pickle.Unpickler`` with a
harmless ``find_class`` is not enough: its C memo table allocates 4.1 GiB for a pickle of nine
bytes. Anything unusual is refused.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.pickles.machine import Machine, OnGlobal
from airflow_runai.checkpoints.pickles.opcodes import ACTIONS, OLD_ACTIONS, REFUSED, Action
from airflow_runai.checkpoints.pickles.stream import Cut

#: A tensor takes some 100 bytes of a pickle.
PICKLE_SIZE_LIMIT = 64 * 1024 * 1024
_STOP = ord(".")
# Instructions between two checks of the limits, as a mask.
_OFTEN = 0xFF


def load_inert(data: bytes, on_global: OnGlobal) -> object:
    """
    Interpret a pickle into the inert values of :mod:`~airflow_runai.checkpoints.pickles.values`.

    :param data: the whole pickle, at most 64 MiB.
    :param on_global: called with module and name of every class or function when it is met.
    :raises FormatError: ``pickle-malformed``, ``pickle-opcode``, ``pickle-limit`` or ``too-large``.
    """
    if len(data) > PICKLE_SIZE_LIMIT:
        text = f"pickle of {len(data)} bytes; at most {PICKLE_SIZE_LIMIT} are read"
        raise FormatError("too-large", text)
    value, end = load_first(data, 0, on_global)
    if end != len(data):
        text = f"pickle, byte {end}: {len(data) - end} bytes after STOP"
        raise FormatError("pickle-malformed", text)
    return value


def load_first(data: bytes, begin: int, on_global: OnGlobal) -> tuple[object, int]:
    """
    Interpret one of several pickles that follow each other.

    :param begin: its first byte.
    :return: the inert value, and one after its last byte.
    :raises FormatError: as :func:`load_inert`.
    """
    machine = Machine(data, begin, on_global)
    try:
        return interpret(machine), machine.at
    except (IndexError, KeyError):
        machine.malformed("takes more from the stack or memo than was put there")


def interpret(machine: Machine) -> object:
    """
    Carry out the instructions up to STOP.

    :return: the one value that is left on the stack.
    :raises FormatError: as :func:`load_inert`.
    """
    try:
        return _carry_out(machine)
    finally:
        # A getattr that names no class inside a class is reported as the function that it is.
        if machine.loose:
            machine.on_global("builtins", "getattr")


def _carry_out(machine: Machine) -> object:
    data, end = machine.data, len(machine.data)
    while machine.at < end:
        opcode = data[machine.at]
        machine.at += 1
        machine.opcodes += 1
        if not machine.opcodes & _OFTEN:
            machine.check_limits()
        if opcode == _STOP:
            return machine.stop()
        action = ACTIONS.get(opcode) or _old_action(machine, opcode)
        action(machine)
    raise Cut(machine.at, "ends without STOP; the file was cut")


def _old_action(machine: Machine, opcode: int) -> Action:
    if machine.protocol_seen < 2:
        if opcode in OLD_ACTIONS:
            return OLD_ACTIONS[opcode]
        if opcode == ord("P"):
            text = "refers to tensors by text (pickle_protocol=0), which PyTorch cannot load"
            machine.malformed(f"{text}; save it anew")
    if opcode not in REFUSED:
        text = f"opcode 0x{opcode:02x} is none of protocol {machine.protocol_seen}"
        machine.malformed(f"{text}; it was overwritten")
    text = f"pickle, byte {machine.at}: {REFUSED[opcode]}; PyTorch never writes this"
    raise FormatError("pickle-opcode", text)
