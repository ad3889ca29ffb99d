"""
End what nobody waits for, from a DAG of its own: workers have no database, and need none for this.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from airflow_runai.backends.inventory import inventory
from airflow_runai.backends.reaper import find_orphans, reap
from airflow_runai.core.orphans import Orphan
from airflow_runai.deployment.instance_name import name_for_worker
from airflow_runai.deployment.task_states import states_for_worker
from airflow_runai.errors import InvalidArgument, Unreachable
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.tasks.retries import fail_without_retry

if TYPE_CHECKING:
    from airflow.sdk import Context


class RunaiReapOrphansOperator(BaseOperator):
    """
    End the workloads of this Airflow that no unfinished task waits for.

    Such are left behind where nobody hears that a task has ended: a worker dies on its last try, a
    run is deleted. It looks twice, a minute apart, and ends what is an orphan both times, as the
    ``on_kill`` of its task says. Workloads of others are never touched, nor are those with
    ``on_kill="keep"`` or suspended ones. The result is a list of ``name, project, dag_id, task_id,
    run_id, map_index, outcome``. Fails if one could not be ended; the next round tries again.

    :param runai_conn_id: connection of type ``runai``; templated.
    :param project: Run:ai project; default: all that the connection can see; templated.
    :param older_than: only those that were made so many seconds ago.
    :param dry_run: only say what would be ended.
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
        if older_than < 0:
            raise InvalidArgument([f"older_than: {older_than!r}; allowed: seconds, at least 0"])
        self.runai_conn_id = runai_conn_id
        self.project = project
        self.older_than = older_than
        self.only_look = dry_run  # `dry_run` itself is Airflow's method

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Look, look again, end."""
        with fail_without_retry():
            hook = RunaiHook(self.runai_conn_id)
            survey = partial(inventory, name_for_worker(), self.project, hook.settings.cluster)
            ask = partial(states_for_worker, context["ti"])
            if self.only_look:
                found = hook.run(find_orphans(survey, ask, self.older_than))
                outcomes = [(orphan, "would be ended", True) for orphan in found]
            else:
                fates = hook.run(reap(survey, ask, self.older_than))
                outcomes = [(fate.orphan, fate.words, fate.ended) for fate in fates]
        for orphan, words, _ in outcomes:
            self.log.info(
                "%s (its task is %s): %s", orphan.owned.workload.name, orphan.state, words
            )
        failed = [
            f"{orphan.owned.workload.name}: {words}"
            for orphan, words, ended in outcomes
            if not ended
        ]
        if failed:
            raise Unreachable(
                f"{len(failed)} of {len(outcomes)} orphans could not be ended: {'; '.join(failed[:5])}"
            )
        return [self._row(orphan, words) for orphan, words, _ in outcomes]

    def _row(self, orphan: Orphan, words: str) -> dict[str, Any]:
        known = {"name": orphan.owned.workload.name, "project": orphan.owned.project}
        return {**known, **asdict(orphan.owned.origin), "outcome": words}
