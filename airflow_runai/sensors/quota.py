"""Wait until a project has room: within its quota, or for idle GPUs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator, PokeReturnValue
from airflow.sdk.exceptions import AirflowSensorTimeout, AirflowSkipException

from airflow_runai.backends.patience import retry_while_unreachable
from airflow_runai.backends.room import no_room, unknown
from airflow_runai.core.flow import now
from airflow_runai.core.json_merge import JsonObject
from airflow_runai.core.room import WHEN, Need, ProjectRoom
from airflow_runai.deployment import configuration
from airflow_runai.errors import InvalidArgument, NoRoom, Unreachable
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.sensors.workload import DEFAULT_TIMEOUT
from airflow_runai.tasks.failures import ReadableTask
from airflow_runai.tasks.retries import NON_RETRYABLE, fail_without_retry
from airflow_runai.triggers.room import RunaiRoomTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_runai.core.project import Project


class RunaiQuotaSensor(BaseSensorOperator, ReadableTask):
    """
    Wait until a project has room for so many GPUs; it takes none of them.

    The result is ``{quota, limit, held, queued, free, total}``: GPUs, ``None`` for what has no
    bound or is not known. It fails as soon as a look finds that the project can never have so many,
    or that the server does not tell a figure that it needs. To submit as soon as there is room, use
    ``RunaiTrainingOperator(submit_when=…)``: many sensors see the same free GPU.

    :param gpus: so many GPUs; default: 1.
    :param share: instead of ``gpus``, a part of the quota (``when="quota"``) or of all GPUs
        (``when="idle"``); greater than 0, at most 1.
    :param when: ``quota``: so many of the GPUs that the project is guaranteed are neither used nor
        queued for; ``idle``: so many GPUs are held by nobody, and the project's limit allows them.
    :param runai_conn_id: connection of type ``runai`` or ``kubernetes``; templated.
    :param project: project, on Kubernetes a queue; default: the connection's; templated.
    :param cluster: needed only if several clusters have a project of that name; templated.
    :param node_pool: count only the GPUs of this node pool; templated.
    :param deferrable: wait on the triggerer; ``False`` pokes. Default: ``[operators]
        default_deferrable`` where the site has set it, else ``True``.
    """

    template_fields: Sequence[str] = ("runai_conn_id", "project", "cluster", "node_pool")
    ui_color = "#d8ecb8"

    def __init__(
        self,
        *,
        gpus: float | None = None,
        share: float | None = None,
        when: str = "quota",
        runai_conn_id: str = RunaiHook.default_conn_name,
        project: str | None = None,
        cluster: str | None = None,
        node_pool: str | None = None,
        deferrable: bool | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("timeout", DEFAULT_TIMEOUT)
        super().__init__(**kwargs)
        _check(gpus, share, when)
        self.gpus = gpus
        self.share = share
        self.when = when
        self.runai_conn_id = runai_conn_id
        self.project = project
        self.cluster = cluster
        self.node_pool = node_pool
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Wait, deferred or by poking."""
        if not configuration.deferrable(self.deferrable):
            return super().execute(context)
        return self._look_or_defer()

    def _look_or_defer(self, since: float | None = None) -> JsonObject:
        """
        Look; defer if there is no room.

        :param since: epoch seconds at which the wait began; ``None`` for now.
        """
        with fail_without_retry():
            hook, project = self._hook, self._where
            look = partial(hook.backend.room, project, self.node_pool)
            found = hook.run(retry_while_unreachable(look))
            if not self._has_room(found):
                self.log.info("%s", no_room(self._need, found))
                self._defer(project, hook.run(now()) if since is None else since)
            return found.figures()

    def _defer(self, project: Project, since: float) -> None:
        self.defer(
            trigger=RunaiRoomTrigger(
                runai_conn_id=self.runai_conn_id,
                project=asdict(project),
                need=self._need.to_json(),
                since=since,
                takes=False,
                node_pool=self.node_pool,
                poll_interval=self.poke_interval,
                deadline=since + float(self.timeout),
                min_defer_seconds=configuration.seconds("min_defer_seconds"),
            ),
            method_name="execute_complete",
            timeout=None,
        )

    @property
    def _need(self) -> Need:
        return Need(self.when, 1.0 if self.gpus is None else float(self.gpus), self.share)

    @cached_property
    def _hook(self) -> RunaiHook:
        """One client and one token for all pokes of a process."""
        return RunaiHook(self.runai_conn_id)

    @cached_property
    def _where(self) -> Project:
        return self._hook.project(self.project, self.cluster)

    def execute_complete(self, context: Context, event: Mapping[str, Any]) -> JsonObject:
        """Finish the task when the trigger has fired."""
        figures = event["figures"]
        if figures is None and self._hook.run(now()) < event["since"] + self.timeout:
            return self._look_or_defer(event["since"])
        if figures is None:
            words = f"no room for {self._need} ({self.when}) within {self.timeout:.0f} s"
            raise (AirflowSkipException if self.soft_fail else AirflowSensorTimeout)(words)
        self.log.info("there is room for %s (%s): %s", self._need, self.when, figures)
        return dict(figures)

    def poke(self, context: Context) -> bool | PokeReturnValue:
        """Look once."""
        with fail_without_retry():
            try:
                found = self._hook.run(self._hook.backend.room(self._where, self.node_pool))
            except NON_RETRYABLE:
                raise
            except Unreachable as error:
                self.log.warning("the room cannot be read (%s); still waiting", error)
                return False
            if self._has_room(found):
                return PokeReturnValue(is_done=True, xcom_value=found.figures())
            self.log.info("%s", no_room(self._need, found))
            return False

    def _has_room(self, found: ProjectRoom) -> bool:
        """Tell whether there is room; refuse what no waiting can answer."""
        if words := self._need.hopeless(found):
            raise InvalidArgument([f"when: {self.when!r}, and the sensor {words}; ask for fewer"])
        if missing := found.missing(self.when):
            raise NoRoom(
                f"when: {self.when!r}: {unknown(missing)}: the server does not tell, or the "
                "identity of the connection lacks a role or scope for it"
            )
        return self._need.fits(found)


def _check(gpus: object, share: object, when: str) -> None:
    """Refuse at parse what means nothing."""
    wrong = []
    if when not in WHEN:
        wrong.append(f"when: {when!r}; allowed: {' or '.join(map(repr, WHEN))}")
    if gpus is not None and share is not None:
        wrong.append("gpus and share: both given; leave one of them out")
    if gpus is not None and not _is_in(gpus, 1e9):
        wrong.append(f"gpus: {gpus!r}; allowed: a number greater than 0")
    if share is not None and not _is_in(share, 1.0):
        wrong.append(f"share: {share!r}; allowed: a number greater than 0, at most 1")
    if wrong:
        raise InvalidArgument(wrong)


def _is_in(value: object, most: float) -> bool:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and 0 < value <= most  # type: ignore[operator]  # it is a number
