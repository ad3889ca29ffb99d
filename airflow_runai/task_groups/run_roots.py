"""Where a group of tasks keeps the files of a run: in a folder that no other group has."""

from __future__ import annotations

from collections.abc import Iterator

from airflow.sdk import TaskGroup

from airflow_runai.errors import SpecError


class RunRootGroup(TaskGroup):
    """
    A task group with a folder of its own.

    In a shared one, a training would resume from another's checkpoints.

    :ivar folder: not yet rendered.
    """

    folder: str | None = None

    def keep_in(self, folder: str) -> None:
        """
        Keep files in a folder.

        :raises SpecError: if another group of the DAG does.
        """
        for other in _groups_around(self):
            if isinstance(other, RunRootGroup) and other.folder == folder:
                raise SpecError(
                    [
                        f"run_root: task group {other.group_id!r} keeps its files in {folder}, "
                        "too; allowed: a directory for each"
                    ]
                )
        self.folder = folder


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
