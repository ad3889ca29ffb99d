"""
What somebody asks of a checkpoint beside being whole: a step, tensors, a number of processes.

Judges a report and reads no file. What a checkpoint does not tell counts as not met: who asks,
needs to know.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TypeGuard

from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.report import CODES, Finding, Report
from airflow_runai.errors import RunaiError

__all__ = ["Expected", "RequirementError", "Requirements"]

_SPELLINGS = {
    **{
        "float": "f32",
        "double": "f64",
        "half": "f16",
        "bfloat": "bf16",
        "float32": "f32",
        "float64": "f64",
    },
    **{
        "float16": "f16",
        "bfloat16": "bf16",
        "long": "i64",
        "int": "i32",
        "short": "i16",
        "char": "i8",
    },
    **{
        "int64": "i64",
        "int32": "i32",
        "int16": "i16",
        "int8": "i8",
        "byte": "u8",
        "uint8": "u8",
        "bool": "bool",
    },
    **{
        "uint16": "u16",
        "uint32": "u32",
        "uint64": "u64",
        "complexfloat": "c64",
        "complex64": "c64",
    },
    **{"complexdouble": "c128", "complex128": "c128"},
}


class RequirementError(RunaiError, ValueError):
    """
    What is asked for is misspelt or contradicts itself.

    :param problems: all mistakes, each with its place, what was found and what is allowed.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class Expected:
    """
    What one tensor has to be; ``None`` for anything.

    :param dtype: in the spelling of PyTorch, NumPy or safetensors: ``bfloat16``,
        ``torch.bfloat16``, ``BF16``.
    """

    dtype: str | None = None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Requirements:
    """
    What a checkpoint has to be, beside valid.

    :param min_step: the lowest step that is of use.
    :param not_behind: a step that was reached already, so that anything older would lose work.
    :param world_size: number of processes that wrote it.
    :param tensors: what must be in it, by name or by pattern (``model.layers.*.weight``, of which
        at least one must be there and all must be as expected).
    :raises RequirementError: for demands that nothing can meet.
    """

    min_step: int | None = None
    not_behind: int | None = None
    world_size: int | None = None
    tensors: Mapping[str, Expected] | None = None

    def __post_init__(self) -> None:
        steps = {
            "min_step": (self.min_step, 0),
            "not_behind": (self.not_behind, 0),
            "world_size": (self.world_size, 1),
        }
        problems = [
            f"{name}: {value!r}; allowed: a whole number from {least}, or nothing"
            for name, (value, least) in steps.items()
            if value is not None and (type(value) is not int or value < least)
        ]
        if self.tensors is not None and not self.tensors:
            problems.append("tensors: is empty; allowed: at least one name, or nothing")
        if problems:
            raise RequirementError(problems)

    @classmethod
    def from_mapping(cls, value: object) -> Requirements:
        """
        Read demands as they are written in a DAG or a JSON file.

        :param value: keys as the fields; ``tensors`` maps a name to ``{"dtype": …, "shape": […]}``,
            both optional.
        :raises RequirementError: with all mistakes at once.
        """
        known = [field.name for field in fields(cls)]
        if not isinstance(value, Mapping):
            raise RequirementError(
                [f"{value!r:.80} is no mapping; allowed: a mapping with {', '.join(known)}"]
            )
        problems = [
            f"{key!r:.80}: unknown; allowed: {', '.join(known)}"
            for key in value
            if key not in known
        ]
        tensors = value.get("tensors")
        expected: dict[str, Expected] | None = None
        if isinstance(tensors, Mapping):
            expected = {
                str(name): _expected(str(name), told, problems) for name, told in tensors.items()
            }
        elif tensors is not None:
            problems.append(
                f"tensors: {tensors!r:.80}; allowed: a mapping from names to dtype and shape"
            )
        plain = {
            key: value[key] for key in ("min_step", "not_behind", "world_size") if key in value
        }
        try:
            made = cls(**plain, tensors=expected)
        except RequirementError as error:
            raise RequirementError([*problems, *error.problems]) from None
        if problems:
            raise RequirementError(problems)
        return made

    @property
    def least_step(self) -> int | None:
        """The lowest step that can meet these demands."""
        return max(
            (step for step in (self.min_step, self.not_behind) if step is not None), default=None
        )

    def judge(self, report: Report) -> tuple[Finding, ...]:
        """Say what a checkpoint does not meet."""
        return tuple(
            Finding(code, CODES[code].severity, report.path, message)
            for code, message in self._unmet(report)
        )

    def _unmet(self, report: Report) -> Iterator[tuple[str, str]]:
        step = -1 if report.step is None else report.step
        if self.min_step is not None and step < self.min_step:
            told = f"step {report.step} is not known to be {self.min_step} or later"
            yield "below-min-step", f"{told}; it was left out"
        if self.not_behind is not None and step < self.not_behind:
            told = f"step {report.step} is not known to be {self.not_behind} or later, which was reached already"
            yield "behind-last-step", f"{told}; it was left out"
        if self.world_size not in (None, report.world_size):
            told = (
                f"{report.world_size} process(es)"
                if report.world_size
                else "it does not say how many processes"
            )
            yield "world-size-differs", f"written by: {told}; {self.world_size} are asked for"
        if self.tensors:
            yield from _unlike_expected(self.tensors, report)


def _expected(name: str, told: object, problems: list[str]) -> Expected:
    match told:
        case None:
            return Expected()
        case {**pairs} if pairs.keys() <= {"dtype", "shape"}:
            dtype, shape = pairs.get("dtype"), pairs.get("shape")
            if (dtype is None or isinstance(dtype, str)) and (shape is None or _is_shape(shape)):
                return Expected(dtype, None if shape is None else tuple(shape))
    problems.append(
        f"tensors.{name:.80}: {told!r:.80}; allowed: nothing, or dtype (text) and shape (numbers from 0)"
    )
    return Expected()


def _is_shape(value: object) -> TypeGuard[Sequence[int]]:
    return isinstance(value, list | tuple) and all(
        type(size) is int and size >= 0 for size in value
    )


def _unlike_expected(tensors: Mapping[str, Expected], report: Report) -> Iterator[tuple[str, str]]:
    there: dict[str, list[TensorEntry]] = {}
    for (_, name), entry in report.ledger.tensors.items():
        there.setdefault(name, []).append(entry)
    for name, expected in tensors.items():
        names = [name] if name in there else [known for known in there if fnmatchcase(known, name)]
        yield from _unlike(
            name, expected, [(known, entry) for known in names for entry in there[known]]
        )


def _unlike(
    name: str, expected: Expected, found: list[tuple[str, TensorEntry]]
) -> Iterator[tuple[str, str]]:
    if not found:
        yield "not-as-expected", f"tensor {name!r} is asked for and not there"
    for known, entry in found:
        if expected.dtype is not None and _spelled(entry.dtype) != _spelled(expected.dtype):
            yield (
                "not-as-expected",
                f"tensor {known!r} is {entry.dtype}; {expected.dtype} is asked for",
            )
            return
        if expected.shape not in (None, entry.shape):
            asked = list(expected.shape or ())
            yield (
                "not-as-expected",
                f"tensor {known!r} has shape {list(entry.shape)}; {asked} is asked for",
            )
            return


def _spelled(dtype: str) -> str:
    name = re.sub(r"^torch\.|_|>$", "", dtype.lower())
    return _SPELLINGS.get(name, name)
