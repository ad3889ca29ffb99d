"""
Requirements that a checkpoint must meet beside being whole: step, tensors, number of processes.

Judges a report and reads no file. If a checkpoint does not record a required property, the
requirement fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from fnmatch import fnmatchcase
from typing import TypeGuard

from airflow_runai.checkpoints.checking.findings import CODES, Finding
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.report import Report
from airflow_runai.errors import RunaiError

# One name for the dtypes that libraries spell differently.
_SPELLINGS = {
    "float": "f32",
    "double": "f64",
    "half": "f16",
    "bfloat": "bf16",
    "float32": "f32",
    "float64": "f64",
    "float16": "f16",
    "bfloat16": "bf16",
    "long": "i64",
    "int": "i32",
    "short": "i16",
    "char": "i8",
    "int64": "i64",
    "int32": "i32",
    "int16": "i16",
    "int8": "i8",
    "byte": "u8",
    "uint8": "u8",
    "bool": "bool",
    "uint16": "u16",
    "uint32": "u32",
    "uint64": "u64",
    "complexfloat": "c64",
    "complex64": "c64",
    "complexdouble": "c128",
    "complex128": "c128",
}


class RequirementError(RunaiError, ValueError):
    """
    A requirement is misspelt or contradicts another.

    :param problems: all mistakes, each with its place, what was found and what is allowed.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("; ".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class TensorRequirement:
    """
    What one tensor must be; ``None`` for anything.

    :param dtype: in the spelling of PyTorch, NumPy or safetensors: ``bfloat16``,
        ``torch.bfloat16``, ``BF16``.
    """

    dtype: str | None = None
    shape: tuple[int, ...] | None = None

    def unmet(self, name: str, entry: TensorEntry) -> str:
        """Return how a tensor differs; empty if it does not."""
        if self.dtype is not None and _normalized(entry.dtype) != _normalized(self.dtype):
            return f"tensor {name!r} is {entry.dtype}; {self.dtype} is asked for"
        if self.shape not in (None, entry.shape):
            required = list(self.shape or ())
            return f"tensor {name!r} has shape {list(entry.shape)}; {required} is asked for"
        return ""


@dataclass(frozen=True)
class Requirements:
    """
    What a checkpoint must be, beside valid.

    :param min_step: the lowest step that is of use.
    :param not_behind: a step that was reached already, so that anything older would lose work.
    :param world_size: number of processes that wrote it.
    :param tensors: what it must hold, by name or by pattern (``model.layers.*.weight``, of which
        at least one must be there and all must be as required).
    :raises RequirementError: for values that nothing can meet.
    """

    min_step: int | None = None
    not_behind: int | None = None
    world_size: int | None = None
    tensors: Mapping[str, TensorRequirement] | None = None

    def __post_init__(self) -> None:
        problems = [
            *_number_problems("min_step", self.min_step, 0),
            *_number_problems("not_behind", self.not_behind, 0),
            *_number_problems("world_size", self.world_size, 1),
        ]
        if self.tensors is not None and not self.tensors:
            problems.append("tensors: is empty; allowed: at least one name, or nothing")
        if problems:
            raise RequirementError(problems)

    @classmethod
    def from_mapping(cls, value: object) -> Requirements:
        """
        Read requirements as they are written in a DAG or a JSON file.

        :param value: keys as the fields; ``tensors`` maps a name to ``{"dtype": …, "shape": […]}``,
            both optional.
        :raises RequirementError: with all mistakes at once.
        """
        names = [field.name for field in fields(cls)]
        if not isinstance(value, Mapping):
            problem = f"{value!r:.80} is no mapping; allowed: a mapping with {', '.join(names)}"
            raise RequirementError([problem])
        problems = [
            f"{key!r:.80}: unknown; allowed: {', '.join(names)}"
            for key in value
            if key not in names
        ]
        tensors = _read_tensors(value.get("tensors"), problems)
        numbers = {name: value[name] for name in names if name in value and name != "tensors"}
        # The values are checked in any case, so that all mistakes are listed at once.
        try:
            requirements = cls(**numbers, tensors=tensors)
        except RequirementError as error:
            raise RequirementError([*problems, *error.problems]) from None
        if problems:
            raise RequirementError(problems)
        return requirements

    @property
    def least_step(self) -> int | None:
        """The lowest step that can meet the requirements."""
        steps = [step for step in (self.min_step, self.not_behind) if step is not None]
        return max(steps, default=None)

    def judge(self, report: Report) -> tuple[Finding, ...]:
        """Return a finding for every requirement that a checkpoint does not meet."""
        return tuple(
            Finding(code, CODES[code].severity, report.path, message)
            for code, message in self._unmet(report)
        )

    def _unmet(self, report: Report) -> Iterator[tuple[str, str]]:
        # A step that is not known meets no requirement.
        step = -1 if report.step is None else report.step
        if self.min_step is not None and step < self.min_step:
            text = f"step {report.step} is not known to be {self.min_step} or later"
            yield "below-min-step", f"{text}; it was left out"
        if self.not_behind is not None and step < self.not_behind:
            text = f"step {report.step} is not known to be {self.not_behind} or later"
            yield "behind-last-step", f"{text}, which was reached already; it was left out"
        if self.world_size not in (None, report.world_size):
            size = report.world_size
            writers = f"{size} process(es)" if size else "it does not say how many processes"
            yield "world-size-differs", f"written by: {writers}; {self.world_size} are asked for"
        if self.tensors:
            yield from _unmet_tensors(self.tensors, report)


def _number_problems(name: str, value: object, least: int) -> list[str]:
    if value is None or (type(value) is int and value >= least):
        return []
    return [f"{name}: {value!r}; allowed: a whole number from {least}, or nothing"]


def _read_tensors(value: object, problems: list[str]) -> dict[str, TensorRequirement] | None:
    if isinstance(value, Mapping):
        return {str(name): _read_tensor(str(name), row, problems) for name, row in value.items()}
    if value is not None:
        problems.append(f"tensors: {value!r:.80}; allowed: a mapping from names to dtype and shape")
    return None


def _read_tensor(name: str, value: object, problems: list[str]) -> TensorRequirement:
    match value:
        case None:
            return TensorRequirement()
        case {**pairs} if pairs.keys() <= {"dtype", "shape"}:
            dtype, shape = pairs.get("dtype"), pairs.get("shape")
            if (dtype is None or isinstance(dtype, str)) and (shape is None or _is_shape(shape)):
                return TensorRequirement(dtype, None if shape is None else tuple(shape))
    allowed = "nothing, or dtype (text) and shape (numbers from 0)"
    problems.append(f"tensors.{name:.80}: {value!r:.80}; allowed: {allowed}")
    return TensorRequirement()


def _is_shape(value: object) -> TypeGuard[Sequence[int]]:
    if not isinstance(value, list | tuple):
        return False
    return all(type(size) is int and size >= 0 for size in value)


def _unmet_tensors(
    required: Mapping[str, TensorRequirement], report: Report
) -> Iterator[tuple[str, str]]:
    """Compare every required tensor, or pattern, with the ledger; one finding for each at most."""
    entries: dict[str, list[TensorEntry]] = {}
    for (_, name), entry in report.ledger.tensors.items():
        entries.setdefault(name, []).append(entry)
    for pattern, requirement in required.items():
        # A name may hold brackets, which a pattern would read as a set of characters.
        is_name = pattern in entries
        names = [pattern] if is_name else [name for name in entries if fnmatchcase(name, pattern)]
        if not names:
            yield "not-as-expected", f"tensor {pattern!r} is asked for and not there"
        unmet = (requirement.unmet(name, entry) for name in names for entry in entries[name])
        message = next(filter(None, unmet), "")
        if message:
            yield "not-as-expected", message


def _normalized(dtype: str) -> str:
    name = re.sub(r"^torch\.|_|>$", "", dtype.lower())
    return _SPELLINGS.get(name, name)
