"""Trials: points of a space with names by which people tell them apart."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.naming import MAX_SLUG_LENGTH
from airflow_runai.core.sweep.space import Parameters
from airflow_runai.core.texts import cut
from airflow_runai.errors import SpecError

#: Key of a point whose mapping is no parameter: what its training has for itself.
SPEC = "spec"
#: Characters of a label; Airflow stores 250.
MAX_LABEL_LENGTH = 200
#: What Kubernetes allows as name and as value of a label.
_KUBERNETES = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")


@dataclass(frozen=True)
class Trial:
    """
    One run of a sweep.

    :param number: among all trials, from 0; its map index.
    :param name: readable part of its workload's name: a DNS label.
    :param label: how Airflow shows it, such as ``lr=0.02 batch-size=64``.
    :param spec: what its training has for itself, such as an image.
    """

    number: int
    parameters: Parameters
    name: str
    label: str
    spec: JsonMapping = field(default_factory=dict)

    def arguments(self) -> list[str]:
        """Return the parameters as a start-up script gets them in ``"$@"``."""
        return [f"{name}={shown(value)}" for name, value in self.parameters.items()]

    def environment(self) -> dict[str, str]:
        """Return the parameters as variables: ``batch-size`` as ``BATCH_SIZE``."""
        return {_variable(name): shown(value) for name, value in self.parameters.items()}

    def labels(self) -> dict[str, str]:
        """Return the parameters that Kubernetes can have as labels, such as ``lr: 0.02``."""
        texts = {name: shown(value) for name, value in self.parameters.items()}
        return {name: text for name, text in texts.items() if _all_labels(name, text)}


def make_trials(points: Sequence[Parameters], *, may_repeat: bool = False) -> tuple[Trial, ...]:
    """
    Name points.

    :param may_repeat: points may be equal, as those that are asked of a study.
    :raises SpecError: if there is none, two are equal, or two parameters would share a variable.
    """
    if not points:
        raise SpecError(["space: no point in it; allowed: at least one"])
    parameters, specs = zip(*map(split, points), strict=True)
    labels = [_label(one) for one in parameters]
    if not may_repeat and (repeated := _repeated(map(_told_apart, labels, specs))):
        raise SpecError([f"space: {cut(text)!r} is there twice" for text in repeated[:5]])
    _check_variables(parameters)
    names = _names(parameters)
    shown_labels = [cut(label, MAX_LABEL_LENGTH) for label in labels]
    return tuple(map(Trial, range(len(points)), parameters, names, shown_labels, specs))


def split(point: Parameters) -> tuple[Parameters, JsonMapping]:
    """Return the parameters of a point, and what its training has for itself."""
    spec = point.get(SPEC)
    if not isinstance(spec, Mapping):
        return point, {}
    return {name: value for name, value in point.items() if name != SPEC}, spec


def distinct(points: Iterable[Parameters]) -> list[Parameters]:
    """Return points without those that equal an earlier one: random ones may."""
    kept: dict[str, Parameters] = {}
    for point in points:
        kept.setdefault(repr(sorted(point.items())), point)  # unlike equality, tells 1 from true
    return list(kept.values())


def shown(value: object) -> str:
    """Return a value as a script reads it: ``true``, ``0.02``, ``adam``."""
    return str(value).lower() if isinstance(value, bool) else str(value)


def _names(points: Sequence[Parameters]) -> list[str]:
    plain = [_slug(one) for one in points]
    fit = all(len(name) <= MAX_SLUG_LENGTH for name in plain) and not _repeated(plain)
    return plain if fit else [_numbered(name, number) for number, name in enumerate(plain)]


def _label(point: Parameters) -> str:
    return " ".join(f"{name}={shown(value)}" for name, value in point.items())


def _told_apart(label: str, spec: JsonMapping) -> str:
    return f"{label} spec={json.dumps(spec, sort_keys=True, default=str)}" if spec else label


def _slug(point: Parameters) -> str:
    words = "-".join(f"{name}-{shown(value)}" for name, value in point.items())
    plain = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")
    # A DNS label begins with a letter.
    return plain if plain[:1].isalpha() else f"t-{plain}".rstrip("-")


def _numbered(name: str, number: int) -> str:
    """Return a name that ends with its number, so that no two are equal however they are cut."""
    end = f"-{number}"
    return name[: MAX_SLUG_LENGTH - len(end)].rstrip("-") + end


def _repeated(words: Iterable[str]) -> list[str]:
    return [word for word, count in Counter(words).items() if count > 1]


def _check_variables(points: Sequence[Parameters]) -> None:
    names = dict.fromkeys(name for point in points for name in point)
    if repeated := _repeated(map(_variable, names)):
        shared = [name for name in names if _variable(name) in repeated]
        raise SpecError([f"space: {', '.join(shared)} would be one variable; rename one"])


def _all_labels(*texts: str) -> bool:
    return all(_KUBERNETES.fullmatch(text) for text in texts)


def _variable(name: str) -> str:
    return name.upper().replace("-", "_")
