"""
A workload as the control plane describes it: one small record for the API's two shapes.

Single reads say ``workloadId`` and ``actualPhase`` and list their variables; lists and generic
reads say ``id`` and ``phase`` and map names of variables to values. Everything else may be missing
(it depends on the server's version); unknown fields and values are ignored, never refused. Only our
own environment variables are read: others may hold secrets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from airflow_runai.core import mask
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.phases import FINAL, Meaning, meaning
from airflow_runai.core.texts import PHASE_LIMIT, cut, exact, printable
from airflow_runai.errors import Unreadable

#: Names of the variables by which a workload says who made it and from what, and
#: (``core/marks.py``) how it may end.
FINGERPRINT_VARIABLE = "AIRFLOW_RUNAI_FINGERPRINT"
TRY_VARIABLE = "AIRFLOW_RUNAI_TRY"
MAP_INDEX_VARIABLE = "AIRFLOW_RUNAI_MAP_INDEX"
ON_KILL_VARIABLE = "AIRFLOW_RUNAI_ON_KILL"
AWAITED_VARIABLE = "AIRFLOW_RUNAI_AWAITED"
OWN_VARIABLES = (
    FINGERPRINT_VARIABLE,
    TRY_VARIABLE,
    MAP_INDEX_VARIABLE,
    ON_KILL_VARIABLE,
    AWAITED_VARIABLE,
)

#: Year 5138. Beyond it a number is no time in seconds (milliseconds, infinity).
_FAR_FUTURE = 1e11

#: The generic ``type`` of a workload decides the path of its suspend, resume and delete calls.
KIND_PATHS = {
    "training": "trainings",
    "distributed": "distributed",
    "distributedtraining": "distributed",
    "workspace": "workspaces",
    "inference": "inferences",
}


@dataclass(frozen=True, slots=True)
class Workload:
    """
    One reading of a workload.

    :param phase: the server's spelling, printable; may be a word that this version does not know.
    :param created_at: epoch seconds, 0 if the server did not say.
    :param phase_updated_at: epoch seconds of the last phase change, if the server says (2.21 on).
    :param guaranteed_until: epoch seconds before which it is not preempted, if the server says
        (2.23 on).
    :param kind: the server's ``type`` (``Training``, ``Distributed``, ...); empty where the shape
        lacks it.
    :param fingerprint: what :data:`FINGERPRINT_VARIABLE` says, or ``None``.
    :param try_number: what :data:`TRY_VARIABLE` says, or ``None``.
    :param doubt: why its completion is none, where the platform shows it.
    :param succeeds: its pods go down or are gone because they have succeeded.
    """

    id: str
    name: str
    phase: str
    project_id: str = ""
    cluster_id: str = ""
    kind: str = ""
    desired_phase: str = ""
    message: str = ""
    created_at: float = 0.0
    phase_updated_at: float | None = None
    guaranteed_until: float | None = None
    deleted: bool = False
    fingerprint: str | None = None
    try_number: int | None = None
    doubt: str = ""
    succeeds: bool = False

    @property
    def meaning(self) -> Meaning:
        """What the phase means; ``DELETING`` for a workload that the server lists as deleted."""
        kind = meaning(self.phase)
        if self.deleted and kind not in FINAL:
            return Meaning.DELETING
        return kind

    @property
    def path(self) -> str:
        """The path segment of the typed endpoints, ``trainings`` where the type is unknown."""
        return KIND_PATHS.get(self.kind.replace("-", "").replace("_", "").lower(), "trainings")

    @classmethod
    def from_wire(cls, item: object, kind: str = "") -> Workload:
        """
        Read either shape.

        :param item: decoded JSON.
        :param kind: the type where the shape does not carry it (single reads).
        :raises Unreadable: if it is not an object, lacks an id, or has a phase that is not a text,
            or a name or id that does not print. A missing phase, as after a create, is ``Unknown``.
        """
        if not isinstance(item, Mapping):
            raise Unreadable(f"a workload must be a JSON object, got {type(item).__name__}")
        identity, phase = _id_and_phase(item)
        variables = _own_variables(item)
        return cls(
            id=exact(identity, "workload's id"),
            name=exact(item.get("name") or item.get("requestedName"), "workload's name"),
            phase=printable(phase, PHASE_LIMIT),
            project_id=exact(item.get("projectId"), "workload's project id"),
            cluster_id=exact(item.get("clusterId"), "workload's cluster id"),
            kind=printable(str(item.get("type") or kind), PHASE_LIMIT),
            desired_phase=printable(str(item.get("desiredPhase") or ""), PHASE_LIMIT),
            message=mask.clean(str(item.get("phaseMessage") or "")),
            created_at=epoch(item.get("createdAt")) or 0.0,
            phase_updated_at=epoch(item.get("phaseUpdatedAt")),
            guaranteed_until=epoch(item.get("guaranteedRuntimeEndsAt")),
            deleted=bool(item.get("deletedAt")),
            fingerprint=variables.get(FINGERPRINT_VARIABLE),
            try_number=_number(variables.get(TRY_VARIABLE)),
        )

    def to_json(self) -> JsonObject:
        """Return what a wait needs of the workload, as plain JSON values."""
        kept = ("id", "name", "project_id", "cluster_id", "kind", "created_at", "phase")
        return {key: getattr(self, key) for key in kept}

    @classmethod
    def from_json(cls, value: JsonMapping) -> Workload:
        """Read what :meth:`to_json` wrote."""
        return cls(**value)


def _id_and_phase(item: JsonMapping) -> tuple[str, str]:
    identity = item.get("id") or item.get("workloadId")
    phase = item.get("phase") or item.get("actualPhase") or "Unknown"
    if isinstance(identity, str) and isinstance(phase, str):
        return identity, phase
    # Only names of keys are shown: values may be secrets.
    keys = cut(str(sorted(map(str, item))[:12]))
    raise Unreadable(f"a workload without id or readable phase; its keys are {keys}")


def fingerprint_in(spec: JsonMapping) -> str | None:
    """Return the fingerprint that a specification carries, if it is one of ours."""
    return _own_variables(spec).get(FINGERPRINT_VARIABLE)


def epoch(value: object) -> float | None:
    """
    Turn an RFC 3339 text or a number into epoch seconds; ``None`` for anything else.

    Moments before 1970 are ``None`` too: a server written in Go says year 1 where it means "never".
    """
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value) if 0 <= value < _FAR_FUTURE else None
    if not isinstance(value, str):
        return None
    try:
        # ``fromisoformat`` of Python 3.10 knows neither "Z" nor nanoseconds.
        moment = datetime.fromisoformat(_python_iso(value))
    except ValueError:
        return None
    seconds = (moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp()
    return seconds if seconds >= 0 else None


def iso(moment: float) -> str:
    """Return epoch seconds as the control plane's conditions take them, rounded down."""
    return datetime.fromtimestamp(math.floor(moment), timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


def _python_iso(text: str) -> str:
    text = text.strip().replace("Z", "+00:00").replace("z", "+00:00")
    head, dot, tail = text.partition(".")
    if not dot:
        return text
    zone = tail.lstrip("0123456789")
    digits = tail.removesuffix(zone)
    return f"{head}.{digits[:6]:0<6}{zone}"


def _own_variables(item: JsonMapping) -> dict[str, str]:
    spec = item.get("spec")
    # Generic reads have them beside the spec, single reads in it.
    named = named_values(item.get("environmentVariables"))
    if isinstance(spec, Mapping):
        named += named_values(spec.get("environmentVariables"))
    return {
        name: printable(str(value), PHASE_LIMIT)
        for name, value in named
        if name in OWN_VARIABLES and value is not None
    }


def named_values(source: object) -> list[tuple[str, Any]]:
    """Return names and values of variables, from either shape: a mapping, or a list of entries."""
    if isinstance(source, Mapping):
        return [(str(name), value) for name, value in source.items()]
    entries = source if isinstance(source, list) else []
    return [
        (str(entry.get("name")), entry.get("value"))
        for entry in entries
        if isinstance(entry, Mapping)
    ]


def _number(text: str | None) -> int | None:
    # No number of ours is longer, and int() takes long over thousands of digits.
    return int(text) if text and text.isdecimal() and len(text) < 10 else None
