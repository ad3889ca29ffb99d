"""
What any platform must be able to do, each call as a flow: tasks know their platform only as this.

The connection decides which platform that is (``hooks/choice.py``). Records are the same on all of
them. A :class:`Workload` says where it is found: by its id within its project, on its cluster. An
id alone is not enough for every platform.

Errors are those of ``errors.py``. ``Unreachable`` means that nothing is known; ``Refused`` and its
kinds, that the platform has said no.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from airflow_runai.core.flow import Flow
from airflow_runai.core.log_reader import LogReader
from airflow_runai.core.orphans import Owned
from airflow_runai.core.project import Cluster, Project
from airflow_runai.core.quota import ProjectLimits
from airflow_runai.core.reader import WorkloadReader
from airflow_runai.core.reasons import Reason
from airflow_runai.core.room import ProjectRoom
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.submission import Numbered
from airflow_runai.core.submission_request import SubmissionRequest
from airflow_runai.core.task_purpose import TaskPurpose
from airflow_runai.core.usage import Sample
from airflow_runai.core.workload import Workload


class Workloads(Protocol):
    """Finds, makes, reads and ends workloads: all that submission, waiting and ending need."""

    def find_project(self, name: str, cluster: str | None = None) -> Flow[Project]:
        """
        Resolve a project by name.

        :param cluster: name or id, needed where several clusters have a project of that name.
        :raises NotResolved: for 0 or more than 1 hits; the message names them.
        """

    def find(
        self, project: Project, name: str, *, exact: bool = False, deleted: bool = False
    ) -> Flow[list[Workload]]:
        """
        List the workloads of a project, or of all if it has no id, oldest first.

        :param name: their names begin with it.
        :param exact: the name must be ``name``.
        :param deleted: list the deleted ones instead of the present ones.
        """

    def find_generations(
        self, project: Project, digest: str, *, deleted: bool = False
    ) -> Flow[list[Numbered]]:
        """List the workloads of a task instance with their generations, whatever their slug."""

    def resolve(self, project: Project, name_or_id: str) -> Flow[Workload]:
        """
        Find a workload of a project by name or id.

        :raises NotResolved: if there is none.
        """

    def inventory(
        self,
        instance: str,
        project: str | None = None,
        cluster: str | None = None,
        *,
        digest: str = "",
        ended: bool = False,
    ) -> Flow[list[Owned]]:
        """
        List what one Airflow made, oldest first.

        :param instance: name of the Airflow.
        :param project: name of the only project to look into.
        :param digest: of the only task instance to look for.
        :param ended: list those that have ended, or were deleted, too.
        """

    def create(self, project: Project, request: SubmissionRequest) -> Flow[Workload]:
        """Create a workload. Never call it twice without looking for its name in between."""

    def rehearse(
        self, project: Project, request: SubmissionRequest
    ) -> Flow[tuple[str, ...] | None]:
        """
        Find out whether a workload would be created, and create nothing; raises like a create.

        :return: what the platform has against it without refusing it; ``None`` if it cannot be
            asked.
        """

    def reader(self, start: Workload) -> WorkloadReader:
        """Return how to read a workload: now, in the past, and among the deleted ones."""

    def get_spec(self, workload: Workload) -> Flow[Mapping[str, Any]]:
        """
        Read the specification that a workload was made from.

        :return: keys as in ``WorkloadSpec.to_wire``; empty if the server shows none.
        """

    def standing_pods(self, workload: Workload) -> Flow[int]:
        """Count the pods that have not ended, also those of a deleted workload."""

    def suspend(self, workload: Workload) -> Flow[None]:
        """Stop the workload's pods but keep the workload. Repeating it is harmless."""

    def resume(self, workload: Workload) -> Flow[None]:
        """Let a suspended workload queue again. Repeating it is harmless."""

    def delete(self, workload: Workload) -> Flow[None]:
        """Delete the workload; that it is already gone counts as done."""


class Capacity(Protocol):
    """Tells what a project may and can have."""

    def clusters(self) -> Flow[list[Cluster]]:
        """Return the clusters that this identity sees."""

    def policy(self, project: Project, kind: str) -> Flow[Mapping[str, Any]]:
        """
        Read the policy that holds in a project.

        :param kind: ``trainings`` or ``distributed``.
        :return: with ``rules`` and ``defaults``; empty if there is no policy.
        """

    def lacking_rights(self, project: Project, task: TaskPurpose | None = None) -> Flow[str]:
        """
        Say which rights this identity lacks there; empty if none, or if that cannot be asked.

        :param task: which rights it makes use of; by default those of any task are looked for.
        :raises RightMissing: if that task could not be submitted.
        """

    def limits(self, project: Project) -> Flow[ProjectLimits]:
        """Read what bounds the trainings of a project."""

    def gpus_in_use(self, project: Project) -> Flow[float]:
        """Add up the GPUs that a project's workloads hold now."""

    def gpus_of_nodes(self, cluster_id: str) -> Flow[tuple[float, float]]:
        """Count the GPUs of a cluster's nodes: all of them, and those that nobody holds."""

    def room(
        self, project: Project, node_pool: str | None = None, ended_within: float = 0.0
    ) -> Flow[ProjectRoom]:
        """
        Read how many GPUs a project may and can have now.

        :param node_pool: only those of this pool; by default those of all pools together.
        :param ended_within: seconds; name the workloads that have ended since, too.
        :raises NotResolved: if the project has no such node pool.
        """

    def prospects(self, project: Project, spec: WorkloadSpec) -> Flow[tuple[Reason, ...]]:
        """Say why it can never start; nothing if it can, or if that cannot be asked."""


class Diagnostics(Protocol):
    """Tells what people want to know of a workload; nothing is decided by it."""

    def explain(self, workload: Workload, since: float = 0.0) -> Flow[tuple[Reason, ...]]:
        """
        Return why a workload waits, does not start or has failed, the most helpful first.

        :param since: epoch seconds; what was said before explains nothing.
        """

    def pods(self, workload: Workload, *, gone: bool = False) -> Flow[list[Mapping[str, Any]]]:
        """
        Return the workload's present pods, as ``core/incarnations.py`` reads them.

        :param gone: before them, those that are gone, as far as the server lists them.
        """

    def gpu_utilization(
        self, workload: Workload, start: float, end: float
    ) -> Flow[tuple[Sample, ...]]:
        """
        Read the utilization of a workload's GPUs, in percent, between two moments (epoch seconds).

        :return: empty where nothing is measured.
        """

    def log(self, workload: Workload) -> LogReader:
        """Return how to read the workload's log."""

    def log_server(self, cluster_id: str) -> Flow[str]:
        """
        Ask whether what has a cluster's logs answers; return its address.

        :raises Unreachable: if it does not.
        """


class Backend(Workloads, Capacity, Diagnostics, Protocol):
    """A platform."""


def newest_named(backend: Workloads, wanted: Workload) -> Flow[Workload | None]:
    """Return the newest workload that is named like ``wanted`` in its project."""
    listed = yield from backend.find(Project.of(wanted), wanted.name, exact=True)
    return listed[-1] if listed else None
