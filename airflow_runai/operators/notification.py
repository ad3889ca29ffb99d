"""The part of an operator that tells people what happens to its workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.errors import SpecError
from airflow_runai.links import pull_workload_xcom
from airflow_runai.operators.workload import WorkloadOperator
from airflow_runai.tasks.callbacks import Callbacks, callbacks_of, rendered
from airflow_runai.tasks.companions import Companion
from airflow_runai.tasks.declaration import names_its_place
from airflow_runai.tasks.mapped_arguments import CALLBACKS, check_partial
from airflow_runai.tasks.voice import companions_of, voice_settings
from airflow_runai.tasks.worker_tab import WorkerTab

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.mappedoperator import OperatorPartial

    from airflow_runai.core.flow import Notice
    from airflow_runai.core.workload import Workload


class NotifyingOperator(WorkloadOperator):
    """
    Base of operators that wait for what they submit.

    :param on_interruption: call when the workload stops running without being finished, by
        preemption or otherwise: notifiers, callbacks, functions or import paths
        (``docs/notifications.md``); templated.
    :param on_resume: the same when it runs again.
    :param on_stall: the same when the wait ends as ``stalled``.
    :param on_long_queue: the same when it has waited for GPUs for ``[runai] long_queue_seconds``.
    """

    def __init__(
        self,
        *,
        on_interruption: Any = None,
        on_resume: Any = None,
        on_stall: Any = None,
        on_long_queue: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.on_interruption = on_interruption
        self.on_resume = on_resume
        self.on_stall = on_stall
        self.on_long_queue = on_long_queue

    @classmethod
    @names_its_place
    def partial(cls, **kwargs: Any) -> OperatorPartial:
        """Make a mapped task, and check what all its instances get."""
        cls._check_partial(kwargs)
        return super().partial(**kwargs)

    @classmethod
    def _check_partial(cls, given: Mapping[str, Any]) -> None:
        check_partial(given, cls.template_ext)

    def _check_callbacks(self) -> None:
        """Refuse what a trigger cannot call."""
        callbacks = self._callbacks()
        if callbacks and not self.wait_for_completion:
            raise SpecError(
                [
                    f"{', '.join(callbacks)}: set, with wait_for_completion=False; nobody would "
                    "hear of it: leave them out, or wait"
                ]
            )

    def _callbacks(self) -> Callbacks:
        return callbacks_of({name: getattr(self, name) for name in CALLBACKS})

    def _rendered_callbacks(self, context: Context) -> Callbacks:
        return rendered(self.render_template(self._callbacks(), context))

    def _voice(self, context: Context) -> JsonObject | None:
        """Return whom a trigger shall call; the workload has been submitted, so it cannot fail."""
        try:
            if not self._callbacks():
                return None
            callbacks = self._rendered_callbacks(context)
            return voice_settings(callbacks, pull_workload_xcom(context), context["ti"])
        except Exception as error:
            why = "; ".join(error.problems) if isinstance(error, SpecError) else error
            self.log.warning("nobody will be told what happens to the workload (%s)", why)
            return None

    def _tell(self, tab: WorkerTab, news: Notice) -> None:
        """Log and show news of a wait in the worker."""
        if news.text:
            self.log.info("%s", news.text)
        if news.kind == "timeline":
            tab.show(news.data)

    def _tell_reasons(self, tab: WorkerTab, lines: Sequence[str], news: JsonMapping) -> None:
        """Log and show why a wait in the worker takes long."""
        for line in lines:
            self.log.info("%s", line)
        tab.leave(news)

    def _voices(self, context: Context, workload: Workload) -> list[Companion]:
        """Return what calls people beside a wait in the worker."""
        return companions_of(self._voice(context), workload.name)
