"""
The inert values of a pickle: names instead of classes, recorded calls instead of objects.

Numbers, short text, tuples, lists and dictionaries stand for themselves. Everything else is one of
the classes below, none of which can do anything. Values may be nested to any depth, so they are
walked iteratively, never compared, hashed or printed as a whole (each of these recurses in C and
can exhaust the stack).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from airflow_runai.checkpoints.checking.format_error import FormatError

# Python allows 1000 nested calls, and copy.deepcopy takes two of them for each level.
_DEPTH_LIMIT = 500
_NAME_LIMIT = 120
# Python's hash of an integer is the number modulo 2^61 - 1; of large ones any many collide.
_KEY_INT_LIMIT = 1 << 63


@dataclass(frozen=True, slots=True)
class Global:
    """The name of a class or function."""

    module: str
    name: str

    def __str__(self) -> str:
        return f"{self.module}.{self.name}"


#: Up to protocol 3 Python writes a class inside a class as ``getattr(outer, name)``, which is as
#: harmless as its name. Only this object means it, by identity: any other use is dangerous.
GETATTR = Global("builtins", "getattr")


def inside(args: object) -> Global | None:
    """Return the class that ``getattr`` takes out of a class; ``None`` for any other use."""
    match args:
        case (Global() as outer, str() as name) if outer is not GETATTR:
            return Global(outer.module, f"{outer.name}.{name}")
    return None


# By identity (eq=False), because comparing nested values recurses.
@dataclass(slots=True, eq=False)
class Call:
    """A call of ``function``, with what would be stored into its result afterwards."""

    function: Global
    args: object
    items: dict[object, object] | list[object] | None = None
    state: object = None


@dataclass(slots=True, eq=False)
class Persistent:
    """A reference to something outside of the pickle; in PyTorch: a storage."""

    identity: object


@dataclass(slots=True, eq=False)
class Opaque:
    """A long text, byte string or set whose content does not matter here."""

    size: int


@dataclass(slots=True, eq=False)
class Key:
    """Stands in for a dictionary key that must not be hashed."""

    value: object


@dataclass(frozen=True, slots=True)
class Place:
    """
    One value met on a walk.

    :param name: path of keys that leads to it, its last 120 characters.
    :param top: the first of these keys.
    """

    name: str
    top: str
    value: object


def safe_key(key: object) -> object:
    """
    Return a dictionary key that can be hashed in constant time.

    Nested tuples hash recursively in C, and integers far above 64 bits can be chosen to collide;
    such keys are replaced by a stand-in of their own, because no reader needs to look them up.
    """
    if isinstance(key, str | bytes | float | Global | None):
        return key
    if isinstance(key, int) and -_KEY_INT_LIMIT <= key < _KEY_INT_LIMIT:
        return key
    return Key(key)


def paired(values: list[object]) -> dict[object, object]:
    """Make a dictionary of keys and values in turns."""
    return {safe_key(values[at]): values[at + 1] for at in range(0, len(values) - 1, 2)}


def walk(root: object, name: str = "") -> Iterator[Place]:
    """
    Visit every value once, parents first, in the order of the pickle.

    :param name: of the root itself.
    :raises FormatError: ``pickle-limit`` when values are nested deeper than 500 levels, which would
        overflow the stack of whatever works on the loaded object recursively.
    """
    visited: set[int] = set()
    pending = [(Place(name, name.partition(".")[0], root), 0)]
    while pending:
        place, depth = pending.pop()
        value = place.value
        if isinstance(value, list | tuple | dict | Call):
            # Shared values are visited once, and a value may contain itself.
            if id(value) in visited:
                continue
            visited.add(id(value))
            if depth > _DEPTH_LIMIT:
                text = f"values are nested deeper than {_DEPTH_LIMIT} levels at {place.name!r}"
                raise FormatError("pickle-limit", text)
            for key, child in reversed(_children(value)):
                path = _join(place.name, key)
                pending.append((Place(path, place.top or path, child), depth + 1))
        yield place


def _children(
    value: list[object] | tuple[object, ...] | dict[object, object] | Call,
) -> list[tuple[object, object]]:
    if isinstance(value, Call):
        return [(None, value.args), (None, value.items), (None, value.state)]
    if not isinstance(value, dict):
        return list(enumerate(value))
    keys = [key.value for key in value if isinstance(key, Key)]
    return [*value.items(), *((None, key) for key in keys)]


def _join(name: str, key: object) -> str:
    if key is None:
        return name
    part = str(key) if isinstance(key, str | int | float) else type(key).__name__
    return (f"{name}.{part[:_NAME_LIMIT]}" if name else part)[-_NAME_LIMIT:]
