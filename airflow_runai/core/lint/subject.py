"""The facts of a training. The caller supplies what is known; missing facts produce no finding."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from airflow_runai.core.spec import WorkloadSpec


@dataclass(frozen=True)
class Script:
    """
    A start-up script, as stored.

    :param name: its name, for messages; ``text`` keeps its line ends.
    :param mode: permission bits such as ``0o644``, if known.
    :param neighbours: names of the files beside it, if known.
    :param requirements: texts of the requirements files beside it, by name, if known.
    """

    name: str
    text: str
    mode: int | None = None
    neighbours: tuple[str, ...] | None = None
    requirements: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Subject:
    """
    All that may be known of a training before it is submitted; everything is optional.

    :param spec: the specification; values may still be templates or Airflow's references.
    :param whole: nothing lies beneath ``spec``, so an absent key stays absent. ``False`` if a
        template that was not resolved may add to it.
    :param evaluates: it is an evaluation: short, and allowed to start from the beginning.
    :param warnings: those of :func:`~airflow_runai.core.command_line.parse_command`.
    :param retries: of the Airflow task.
    :param timeouts: clocks to seconds, as the operator takes them; ``on_kill`` and ``deferrable``
        likewise.
    :param script: the start-up script of the container.
    :param save_seconds: the longest time that writing a checkpoint took (``save_seconds`` of a
        manifest).
    :param gpu_limit: GPUs that the project may use at most; ``None`` or less than 0: no limit.
    :param gpu_quota: GPUs that the project is guaranteed.
    """

    spec: Mapping[str, Any] | WorkloadSpec | None = None
    whole: bool = True
    evaluates: bool = False
    warnings: tuple[str, ...] = ()
    retries: int | None = None
    timeouts: Mapping[str, Any] | None = None
    deferrable: bool | None = None
    on_kill: str | None = None
    script: Script | None = None
    save_seconds: float | None = None
    gpu_limit: float | None = None
    gpu_quota: float | None = None
