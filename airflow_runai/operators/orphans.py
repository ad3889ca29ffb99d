"""End orphans from a DAG of its own; needs no database, which workers do not have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.backends.reaper import Fate, find_orphans, reap
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.texts import listed, plural
from airflow_runai.deployment.instance_name import name_for_worker
from airflow_runai.deployment.metrics import count
from airflow_runai.deployment.task_states import states_for_worker
from airflow_runai.errors import InvalidArgument, Unreachable
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiReapOrphansOperator(BaseOperator, ReadableTask):
    """
    End the workloads of this Airflow that no unfinished task waits for.

    Orphans are left when no one learns that a task has ended: a worker dies on its last try, a run
    is deleted. The operator looks twice, a minute apart, and ends what is an orphan both times, as
    the ``on_kill`` of its task says. It never touches other people's workloads, suspended ones, and
    those with ``on_kill="keep"`` or ``wait_for_completion=False``. The result is a list of ``name,
    project, dag_id, task_id, run_id, map_index, outcome``. It fails if one could not be ended; the
    next round tries again.

    :param runai_conn_id: connection of type ``runai`` or ``kubernetes``; templated.
    :param project: project, on Kubernetes a queue; default: all that the connection can see;
        templated.
    :param older_than: minimum age of a workload in seconds.
    :param dry_run: only log and return what would be ended.
    """

    template_fields: Sequence[str] = ("runai_conn_id", "project")
    ui_color = "#d8ecb8"

    def __init__(
        self,
        *,
        runai_conn_id: str = RunaiHook.default_conn_name,
        project: str | None = None,
        older_than: float = 600.0,
        dry_run: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(older_than, (int, float)) or older_than < 0:
            raise InvalidArgument([f"older_than: {older_than!r}; allowed: seconds, at least 0"])
        self.runai_conn_id = runai_conn_id
        self.project = project
        self.older_than = older_than
        self.only_look = dry_run  # `dry_run` itself is Airflow's method

    def execute(self, context: Context) -> list[JsonObject]:
        """Look twice, and end what is an orphan both times."""
        with fail_without_retry():
            fates = self._reap(context)
        failed = []
        for fate in fates:
            name = fate.orphan.owned.workload.name
            self.log.info("%s (its task is %s): %s", name, fate.orphan.state, fate.words)
            if fate.ended and not self.only_look:
                count("runai.kills", by="reaper")
            failed += [] if fate.ended else [f"{name}: {fate.words}"]
        if failed:
            head = f"{len(failed)} of {plural(len(fates), 'orphan')} could not be ended"
            raise Unreachable(listed(head, failed[:5]))
        return [_row(fate) for fate in fates]

    def _reap(self, context: Context) -> list[Fate]:
        hook = RunaiHook(self.runai_conn_id)
        backend, cluster = hook.backend, hook.settings.cluster
        list_workloads = partial(backend.inventory, name_for_worker(), self.project, cluster)
        ask_states = partial(states_for_worker, context["ti"])
        if not self.only_look:
            return hook.run(reap(backend, list_workloads, ask_states, self.older_than))
        orphans = hook.run(find_orphans(list_workloads, ask_states, self.older_than))
        return [Fate(orphan, True, "would be ended") for orphan in orphans]


def _row(fate: Fate) -> JsonObject:
    owned = fate.orphan.owned
    return {
        "name": owned.workload.name,
        "project": owned.project,
        **asdict(owned.origin),
        "outcome": fate.words,
    }
