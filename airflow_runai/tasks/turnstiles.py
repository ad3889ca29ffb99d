"""The turnstiles in front of projects, and what a trigger that has passed one tells its task."""

from __future__ import annotations

from airflow_runai.backends.turnstile import Turnstile
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.room import ProjectRoom


class Turnstiles:
    """The turnstiles of all tasks on an event loop."""

    def __init__(self) -> None:
        self._gates: dict[tuple[str, str, str | None], Turnstile] = {}

    def of(self, connection: str, project_id: str, node_pool: str | None) -> Turnstile:
        """Return the turnstile of a project, or of its part in a node pool."""
        return self._gates.setdefault((connection, project_id, node_pool), Turnstile())


def room_event(since: float, found: ProjectRoom | None) -> JsonObject:
    """Return what a trigger tells its task."""
    return {"since": since, "figures": found.figures() if found else None}
