"""
CPU, memory and GPUs: what a pod asks for, read from and written as Kubernetes quantities.

Whole GPUs and parts of one (annotation ``gpu-fraction``); no other extended resources, no overhead
of a runtime class.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

__all__ = ["GPU", "NOTHING", "Amount", "of_list", "of_pod", "total"]

GPU = "nvidia.com/gpu"
_SCALES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "": Fraction(1),
}
_SCALES |= {suffix: Fraction(1000) ** power for power, suffix in enumerate("kMGTPE", start=1)}
_SCALES |= {f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", start=1)}
_QUANTITY = re.compile(r"([+-]?[0-9.]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]?|[KMGTPE]i)")


@dataclass(frozen=True)
class Amount:
    """
    Resources of a pod, or of many.

    :param cpu: thousandths of a core.
    :param memory: bytes.
    :param gpus: devices, or a part of one.
    """

    cpu: int = 0
    memory: int = 0
    gpus: float = 0

    def __add__(self, other: Amount) -> Amount:
        return Amount(self.cpu + other.cpu, self.memory + other.memory, self.gpus + other.gpus)

    def as_list(self) -> dict[str, str]:
        """Write it as a ResourceList in canonical form; what is zero is left out."""
        written = {
            "cpu": cpu_quantity(self.cpu),
            "memory": memory_quantity(self.memory),
            GPU: gpu_quantity(self.gpus),
        }
        return {name: quantity for name, quantity in written.items() if quantity != "0"}


NOTHING = Amount()


def total(amounts: Iterable[Amount]) -> Amount:
    """Add up."""
    return sum(amounts, NOTHING)


def of_list(quantities: dict[str, Any]) -> Amount:
    """Read a ResourceList."""
    return Amount(
        int(_parse(quantities.get("cpu", 0)) * 1000),
        int(_parse(quantities.get("memory", 0))),
        float(_parse(quantities.get(GPU, 0))),
    )


def of_pod(pod: dict[str, Any]) -> Amount:
    """Read what a pod requests: all containers together, or the largest init container if that is more."""
    spec = pod["spec"]
    together = total(_requests(container) for container in spec["containers"])
    first = [_requests(container) for container in spec.get("initContainers") or []]
    fraction = (pod["metadata"].get("annotations") or {}).get("gpu-fraction")
    return Amount(
        max([together.cpu, *(one.cpu for one in first)]),
        max([together.memory, *(one.memory for one in first)]),
        float(_parse(fraction)) if fraction else max([together.gpus, *(one.gpus for one in first)]),
    )


def cpu_quantity(thousandths: int) -> str:
    """Write cores: ``2`` or ``100m``."""
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def memory_quantity(count: int) -> str:
    """Write bytes with the largest binary suffix that loses nothing."""
    for power, suffix in enumerate(("Ei", "Pi", "Ti", "Gi", "Mi", "Ki")):
        size = 1024 ** (6 - power)
        if count and count % size == 0:
            return f"{count // size}{suffix}"
    return str(count)


def gpu_quantity(count: float) -> str:
    """Write devices: ``2``, or ``500m`` for a half."""
    return cpu_quantity(round(count * 1000))


def _requests(container: dict[str, Any]) -> Amount:
    return of_list((container.get("resources") or {}).get("requests") or {})


def _parse(quantity: str | int | float) -> Fraction:
    found = _QUANTITY.fullmatch(str(quantity))
    return Fraction(found[1]) * _SCALES[found[2]] if found else Fraction(0)
