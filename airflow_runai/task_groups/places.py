"""Where a group of tasks keeps the files of a run: a place that no other tasks have."""

from __future__ import annotations

from collections.abc import Iterator

from airflow.sdk import TaskGroup

from airflow_runai.errors import SpecError


class PlacedGroup(TaskGroup):
    """
    A task group whose trainings would go on from the checkpoints of others in the same place.

    :ivar place: folder, not yet rendered.
    """

    place: str

    def take(self, place: str) -> None:
        """
        Take a place.

        :raises SpecError: if another group of the DAG has it.
        """
        for other in _groups_around(self):
            if isinstance(other, PlacedGroup) and getattr(other, "place", None) == place:
                raise SpecError(
                    [
                        f"run_root: task group {other.group_id!r} keeps its files in {place}, too; "
                        "allowed: a directory for each"
                    ]
                )
        self.place = place


def _groups_around(group: TaskGroup) -> Iterator[TaskGroup]:
    """Yield all groups of a DAG."""
    root = group
    while root.parent_group is not None:
        root = root.parent_group
    waiting = [root]
    while waiting:
        found = waiting.pop()
        yield found
        waiting.extend(one for one in found.children.values() if isinstance(one, TaskGroup))
