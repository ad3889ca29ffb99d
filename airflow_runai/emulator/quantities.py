"""Amounts in a specification: GPUs of a pod, and Kubernetes quantities."""

from __future__ import annotations

from typing import Any

GPU_MEMORY_BYTES = 16 * 2**30  # of one emulated GPU, for requests by memory

_UNITS = {
    "K": 1e3,
    "k": 1e3,
    "M": 1e6,
    "G": 1e9,
    "T": 1e12,
    "Ki": 2**10,
    "Mi": 2**20,
    "Gi": 2**30,
    "Ti": 2**40,
}


def gpus_per_pod(compute: dict[str, Any]) -> float:
    """Read how many GPUs one pod requests: devices, a portion of one, or memory of one."""
    devices = int(compute.get("gpuDevicesRequest") or 0)
    kind = compute.get("gpuRequestType")
    if kind == "memory" and compute.get("gpuMemoryRequest"):
        return min(1.0, quantity(str(compute["gpuMemoryRequest"])) / GPU_MEMORY_BYTES)
    # A portion of one device; of several there are only whole ones.
    if compute.get("gpuPortionRequest") and devices <= 1:
        return float(compute["gpuPortionRequest"])
    return float(devices)


def quantity(text: str) -> float:
    """Read a Kubernetes quantity such as ``10M`` or ``16Gi``, in bytes."""
    number = text.rstrip("KMGTki")
    return float(number) * _UNITS.get(text[len(number) :], 1.0)
