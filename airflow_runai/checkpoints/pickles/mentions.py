"""
What a pickle mentions, and what it does with it.

A class that is only named runs nothing, a called function may. Some functions that build plain data
call their arguments; that counts as a call, too.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from airflow_runai.checkpoints.pickles.values import Call, Global

Use = Literal["named", "made", "called"]
_ORDER: tuple[Use, ...] = ("named", "made", "called")
#: Allowed functions, and the argument that they call (torch 2.13, NumPy 2.4, jax 0.10, pandas 2.3).
_CALLERS = {
    ("torch._tensor", "_rebuild_from_type_v2"): 0,
    ("copyreg", "_reconstructor"): 1,
    ("copy_reg", "_reconstructor"): 1,
    ("numpy.random._pickle", "__bit_generator_ctor"): 0,
    ("numpy.random._pickle", "__generator_ctor"): 1,
    ("numpy.random._pickle", "__randomstate_ctor"): 1,
    ("jax._src.array", "_reconstruct_array"): 0,
    ("pandas.core.indexes.base", "_new_Index"): 0,
    ("pandas.core.indexes.datetimes", "_new_DatetimeIndex"): 0,
    ("collections", "defaultdict"): 0,
}


class Mentions:
    """The classes and functions of a pickle, in the order in which they are met."""

    def __init__(self) -> None:
        self._uses: dict[tuple[str, str], Use] = {}

    def __call__(self, module: str, name: str) -> None:
        """Record a name."""
        self._uses.setdefault((module, name), "named")

    def __contains__(self, name: tuple[str, str]) -> bool:
        return name in self._uses

    def __iter__(self) -> Iterator[tuple[str, str, Use]]:
        for (module, name), use in self._uses.items():
            yield module, name, use

    def called(self, function: Global, args: object, *, made: bool) -> None:
        """
        Record a call.

        :param made: whether an object is made without its constructor.
        """
        if not made:
            # Without arguments, a constructor can make nothing but an empty object.
            self._raise(function, "made" if args == () else "called")
        place = _CALLERS.get((function.module, function.name))
        if place is None or not isinstance(args, tuple) or len(args) <= place:
            return
        match args[place]:
            case Global() as target:
                # A defaultdict calls without arguments, and so can only make an empty value.
                self._raise(target, "made" if function.name == "defaultdict" else "called")
            case Call():
                # It is not known what such an object does when it is called.
                self("builtins", "__call__")

    def _raise(self, name: Global, use: Use) -> None:
        key = (name.module, name.name)
        self._uses[key] = max(self._uses.get(key, "named"), use, key=_ORDER.index)
