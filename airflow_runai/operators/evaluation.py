"""Evaluate one checkpoint, read the metrics that come of it, and judge them by gates."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_runai.core.champions import identity
from airflow_runai.core.gates import Gate, Metrics, compares, judge, limits, parse_gates
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.lineage import Lineage, checkpoint_of
from airflow_runai.core.log_lines import FOLLOW
from airflow_runai.core.texts import listed, plural
from airflow_runai.errors import GateFailed, InvalidArgument, MetricsError, SpecError
from airflow_runai.links import pull_workload_xcom, push_xcom
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks.champions import champions_of
from airflow_runai.tasks.lineage import located
from airflow_runai.tasks.locations import location, small_file, untrusted_below
from airflow_runai.tasks.log_end import show_end_of_log
from airflow_runai.tasks.metrics_file import complaint, read_metrics
from airflow_runai.tasks.whereabouts import where_to_look

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_runai.core.outcome import Outcome
    from airflow_runai.hooks.runai import RunaiHook

#: Seconds after which a checkpoint is no longer held, whether or not its evaluation has ended.
MAX_LEASE_SECONDS = 30 * 24 * 3600.0
_NO_CHAMPION = "no champion: there is none yet, so gates that compare with it pass"


class RunaiEvaluationOperator(RunaiTrainingOperator):
    """
    Run an evaluation workload on a checkpoint and judge its metrics.

    The workload reads the checkpoint's path from the variable ``CHECKPOINT`` and writes a flat JSON
    object of numbers to the path in ``METRICS`` (write to a temporary name, then rename; links are
    refused). It is submitted, waited for and adopted like a training. The result is the training's,
    plus ``checkpoint``, ``metrics`` (the finite ones), ``gates``, ``passed`` and ``failures`` (a
    sentence for each gate that was not); and, if a gate compares, ``champion``: the one that it was
    judged against, or ``None``.

    :param checkpoint: result of :class:`RunaiSelectCheckpointOperator`, or a container path;
        templated.
    :param metrics: container path of ``metrics.json``, on storage that the worker can read too, and
        different for each run (for example with ``{{ run_id }}`` in it); templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage; templated.
    :param gates: conditions such as ``accuracy >= 0.95`` or ``accuracy >= champion.accuracy -
        0.002``; the latter pass if there is no champion yet; templated.
    :param champion: the champion pointer that :class:`RunaiPromoteCheckpointOperator` writes, for
        gates that compare; templated.
    :param on_gate_failure: ``fail`` the task, or ``skip`` it and the tasks that depend on it.
    """

    template_fields: Sequence[str] = (
        *RunaiTrainingOperator.template_fields,
        "checkpoint",
        "metrics",
        "gates",
        "champion",
    )
    ui_color = "#f5e3b8"
    __supports_durable_execution = True
    evaluates = True

    def __init__(
        self,
        *,
        checkpoint: Mapping[str, Any] | str,
        metrics: str,
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        gates: Sequence[str] = (),
        champion: str | None = None,
        on_gate_failure: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(path_map=path_map, storage_conn_id=storage_conn_id, **kwargs)
        _check_judging(self.wait_for_completion, gates, on_gate_failure)
        _check_champion(gates, champion)
        self.checkpoint = checkpoint
        self.metrics = metrics
        self.gates = gates
        self.champion = champion
        self.on_gate_failure = on_gate_failure

    @classmethod
    def _check_partial(cls, given: Mapping[str, Any]) -> None:
        super()._check_partial(given)
        judging = ("wait_for_completion", "gates", "on_gate_failure")
        _check_judging(**{name: given[name] for name in judging if name in given})

    def _specification(self, spec: JsonMapping) -> JsonMapping:
        if not isinstance(self.metrics, str) or not self.metrics:
            raise SpecError(
                [f"metrics: {self.metrics!r}; allowed: the container path of metrics.json"]
            )
        paths = {"CHECKPOINT": self._checkpoint_path(), "METRICS": self.metrics}
        environment = spec.get("environment") or {} if isinstance(spec, Mapping) else None
        # The check of the specification has the better words for anything else.
        if isinstance(environment, Mapping):
            return {**spec, "environment": {**environment, **paths}}
        return spec

    def _lineage_of(self, context: Context, project: str) -> Lineage:
        workload = super()._lineage_of(context, project)
        where = partial(located, path_map=self.path_map, storage_conn_id=self.storage_conn_id)
        read = [where(self._checkpoint_path())]
        if isinstance(self.checkpoint, Mapping) and self.checkpoint.get("uri"):
            read = [checkpoint_of(self.checkpoint)]
        if self.champion and compares(parse_gates(self.gates)):
            read.append(where(self.champion))
        return Lineage((*workload.inputs, *read), (*workload.outputs, where(self.metrics)))

    def execute(self, context: Context) -> JsonObject:
        """Hold the checkpoint against retention; then submit or adopt, and wait."""
        self._lease(context, hold=True)
        try:
            return super().execute(context)
        except AirflowFailException:
            # No further try will read it.
            self._lease(context, hold=False)
            raise

    def _finish(
        self, context: Context, hook: RunaiHook, outcome: Outcome, tail: list[str]
    ) -> JsonObject:
        try:
            return super()._finish(context, hook, outcome, tail)
        except (MetricsError, GateFailed) as error:
            # Its workload succeeded, so the end of its log may not have been shown.
            if not (self.tail_on_success or self.get_logs == FOLLOW):
                show_end_of_log(hook, replace(outcome, log={}), self.get_logs, tail_on_success=True)
            project = pull_workload_xcom(context).get("project") or self.project or ""
            where = where_to_look(outcome.workload(), self.runai_conn_id, project)
            raise type(error)("\n  - ".join([str(error), *where])) from None
        finally:
            self._lease(context, hold=False)

    def _lease(self, context: Context, *, hold: bool) -> None:
        """Take or return the lease; a worker that cannot write beside the checkpoint goes on."""
        # Imported here: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints.keeping import leases

        ti = context["ti"]
        holder = f"evaluation {ti.dag_id} {ti.run_id} {ti.task_id} {ti.map_index}"
        try:
            checkpoint = self._checkpoint_path()
            path = location(checkpoint, self.path_map)
            below = untrusted_below(checkpoint, self.path_map)
            if not isinstance(path, Path):
                return  # retention does not work on object storage either
            if hold:
                leases.hold(path, holder, until=time.time() + MAX_LEASE_SECONDS, below=below)
            else:
                leases.release(path, holder, below=below)
        except (OSError, InvalidArgument) as error:
            self.log.info("the checkpoint is not held against retention (%s)", error)

    def _checkpoint_path(self) -> str:
        path: Any = self.checkpoint
        if isinstance(path, Mapping):
            path = path.get("path")
        if not isinstance(path, str) or not path:
            raise SpecError(
                [
                    f"checkpoint: {self.checkpoint!r}; "
                    "allowed: a container path, or a mapping with one under 'path'"
                ]
            )
        return path

    def _prepare(self) -> None:
        """Check the gates, which are rendered now, and remove an earlier generation's metrics."""
        _check_champion(self.gates, self.champion)
        gates = parse_gates(self.gates)
        # What the champion lacks, it lacks after hours of evaluation as well.
        limits(gates, _metrics(self._present_champion(gates)))
        stale = small_file(self.metrics, self.path_map, self.storage_conn_id)
        try:
            stale.remove()
        except Exception as error:  # storage libraries raise what they like
            raise MetricsError(
                f"{stale}: an earlier file cannot be removed: {complaint(error)}"
            ) from error

    def _succeeded(self, context: Context, result: JsonObject) -> JsonObject:
        gates = parse_gates(self.gates)
        metrics = read_metrics(self.metrics, self.path_map, self.storage_conn_id)
        champion = self._present_champion(gates)
        failures = judge(gates, metrics, _metrics(champion))
        self.log.info("metrics: %s; %s", metrics, _verdict(gates, failures))
        if lost := [name for name, value in metrics.items() if not math.isfinite(value)]:
            self.log.warning("not finite, so missing from the result: %s", ", ".join(lost[:5]))
        result = {
            **result,
            "checkpoint": self.checkpoint,
            # JSON has no infinity and no NaN, and databases refuse XComs with them.
            "metrics": {name: value for name, value in metrics.items() if math.isfinite(value)},
            "gates": [str(gate) for gate in gates],
            "passed": not failures,
            "failures": failures,
        }
        if compares(gates):
            result["champion"] = champion and {**identity(champion), "metrics": _metrics(champion)}
            self.log.info("judged against %s", champion["uri"] if champion else _NO_CHAMPION)
        if failures:
            # The task fails, or is skipped, so Airflow pushes no result by itself.
            push_xcom(context, "return_value", result)
            self._refuse(failures)
        return result

    def _present_champion(self, gates: Sequence[Gate]) -> JsonObject | None:
        """Return the champion, if any gate compares with it and there is one."""
        if not compares(gates) or self.champion is None:
            return None
        with champions_of(self.champion, self.path_map, self.storage_conn_id) as history:
            return history.present()

    def _refuse(self, failures: Sequence[str]) -> NoReturn:
        words = listed("the checkpoint did not pass", failures)
        raise AirflowSkipException(words) if self.on_gate_failure == "skip" else GateFailed(words)


def _check_judging(
    wait_for_completion: bool = True, gates: object = (), on_gate_failure: str = "fail"
) -> None:
    """Refuse at parse what cannot judge, as far as it is not rendered later."""
    if not wait_for_completion:
        raise SpecError(
            [
                "wait_for_completion: False; allowed: True, because an evaluation judges the "
                "metrics that its workload has written"
            ]
        )
    if on_gate_failure not in ("fail", "skip"):
        raise SpecError([f"on_gate_failure: {on_gate_failure!r}; allowed: 'fail' or 'skip'"])
    if isinstance(gates, (list, tuple)):
        parse_gates([gate for gate in gates if not is_templated(str(gate))])


def _check_champion(gates: object, champion: str | None) -> None:
    """Refuse gates that compare with a champion that is not named."""
    known = gates if isinstance(gates, (list, tuple)) else ()
    if not champion and compares(parse_gates([g for g in known if not is_templated(str(g))])):
        raise SpecError(
            [
                f"champion: {champion!r}, but a gate compares with the champion; "
                "allowed: the path of its pointer"
            ]
        )


def _metrics(champion: JsonMapping | None) -> Metrics | None:
    return None if champion is None else dict(champion.get("metrics") or {})


def _verdict(gates: Sequence[Gate], failures: Sequence[str]) -> str:
    if not gates:
        return "no gates: any number passes"
    return "; ".join(failures) or f"{plural(len(gates), 'gate')} passed"
