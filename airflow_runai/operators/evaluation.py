"""
Evaluate one checkpoint on Run:ai, read the metrics it writes, and let it pass through gates or not.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from airflow_runai.core.gates import judge, parse_gates
from airflow_runai.core.jinja import is_templated
from airflow_runai.core.metrics import parse_metrics
from airflow_runai.errors import GateFailed, MetricsError, SpecError
from airflow_runai.operators.training import RunaiTrainingOperator
from airflow_runai.tasks.locations import location, small_file, untrusted_below

if TYPE_CHECKING:
    from airflow.sdk import Context

    from airflow_runai.core.outcome import Outcome

#: metrics.json is a handful of numbers; whatever is larger was written by mistake. Bytes.
LARGEST_METRICS = 1024 * 1024
#: An evaluation that takes longer is protected no more; one whose end nobody saw is forgotten then.
#: Seconds.
LONGEST_LEASE = 30 * 24 * 3600.0


class RunaiEvaluationOperator(RunaiTrainingOperator):
    """
    Run an evaluation workload on a given checkpoint and judge its metrics.

    The workload finds the checkpoint's path in the variable ``CHECKPOINT`` and writes a flat JSON
    object of numbers to the path in ``METRICS`` (write to a temporary name, then rename; links are
    refused). It is submitted, waited for and adopted like a training. The result is the training's,
    plus ``checkpoint``, ``metrics`` (those that are finite), ``gates`` and ``passed``.

    :param checkpoint: result of :class:`RunaiSelectCheckpointOperator`, or a container path;
        templated.
    :param metrics: container path of ``metrics.json``, on storage that the worker can read too,
        different for each run (for example with ``{{ run_id }}`` in it); templated.
    :param path_map: container prefixes to worker prefixes; templated.
    :param storage_conn_id: Airflow connection for object storage.
    :param gates: conditions such as ``accuracy >= 0.95``; templated.
    :param on_gate_failure: ``fail`` the task, or ``skip`` it and what depends on it.
    """

    template_fields: Sequence[str] = (
        *RunaiTrainingOperator.template_fields,
        *("checkpoint", "metrics", "path_map", "storage_conn_id", "gates"),
    )
    template_fields_renderers = {
        **RunaiTrainingOperator.template_fields_renderers,
        "path_map": "json",
    }
    ui_color = "#f5e3b8"
    evaluates = True

    def __init__(
        self,
        *,
        checkpoint: Mapping[str, Any] | str,
        metrics: str,
        path_map: Mapping[str, str] | None = None,
        storage_conn_id: str | None = None,
        gates: Sequence[str] = (),
        on_gate_failure: str = "fail",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if on_gate_failure not in ("fail", "skip"):
            raise SpecError([f"on_gate_failure: {on_gate_failure!r}; allowed: 'fail' or 'skip'"])
        if isinstance(gates, (list, tuple)):
            parse_gates([gate for gate in gates if not is_templated(str(gate))])
        self.checkpoint = checkpoint
        self.metrics = metrics
        self.path_map = path_map
        self.storage_conn_id = storage_conn_id
        self.gates = gates
        self.on_gate_failure = on_gate_failure

    def _specification(self, told: Mapping[str, Any]) -> Mapping[str, Any]:
        if not isinstance(self.metrics, str) or not self.metrics:
            raise SpecError(
                [f"metrics: {self.metrics!r}; allowed: the container path of metrics.json"]
            )
        given = {"CHECKPOINT": self._checkpoint_path(), "METRICS": self.metrics}
        own = told.get("environment") or {} if isinstance(told, Mapping) else None
        if not isinstance(own, Mapping):
            # What is wrong with it, the specification says better.
            return told
        return {**told, "environment": {**own, **given}}

    def execute(self, context: Context) -> dict[str, Any]:
        """Hold the checkpoint, so that no retention removes it meanwhile; then submit or adopt, and wait."""
        self._lease(context, hold=True)
        try:
            return super().execute(context)
        except AirflowFailException:
            # There is no further try, so nobody reads it any more.
            self._lease(context, hold=False)
            raise

    def _finish(self, context: Context, outcome: Outcome) -> dict[str, Any]:
        try:
            return super()._finish(context, outcome)
        finally:
            self._lease(context, hold=False)

    def _lease(self, context: Context, *, hold: bool) -> None:
        """Take or give back the lease; workers that cannot write beside checkpoints do without, and say so."""
        # Imported here: reading checkpoints is not needed to parse a DAG.
        from airflow_runai.checkpoints.keeping import leases

        ti = context["ti"]
        holder = f"evaluation {ti.dag_id} {ti.run_id} {ti.task_id} {ti.map_index}"
        try:
            path, below = location(self._checkpoint_path(), self.path_map), self._untrusted_below()
            if not isinstance(path, Path):
                return
            if hold:
                leases.hold(path, holder, until=time.time() + LONGEST_LEASE, below=below)
            else:
                leases.release(path, holder, below=below)
        except (OSError, SpecError) as error:
            self.log.info("the checkpoint is not held against retention (%s)", error)

    def _untrusted_below(self) -> Path | None:
        return untrusted_below(self._checkpoint_path(), self.path_map)

    def _checkpoint_path(self) -> str:
        found = (
            self.checkpoint.get("path") if isinstance(self.checkpoint, Mapping) else self.checkpoint
        )
        if not isinstance(found, str) or not found:
            raise SpecError(
                [
                    f"checkpoint: {self.checkpoint!r}; allowed: a container path, or a mapping with one under 'path'"
                ]
            )
        return found

    def _prepare(self) -> None:
        """Read the gates, rendered by now; remove an earlier generation's metrics: they are not this one's."""
        parse_gates(self.gates)
        stale = small_file(self.metrics, self.path_map, self.storage_conn_id)
        try:
            stale.remove()
        except Exception as error:  # storage libraries raise what they like
            raise MetricsError(
                f"{stale}: an earlier file cannot be removed: {_complaint(error)}"
            ) from error

    def _succeeded(self, context: Context, result: dict[str, Any]) -> dict[str, Any]:
        gates = parse_gates(self.gates)
        metrics = read_metrics(self.metrics, self.path_map, self.storage_conn_id)
        failures = judge(gates, metrics)
        self.log.info(
            "metrics: %s; gates: %s", metrics, "; ".join(failures) or f"{len(gates)} passed"
        )
        # What is not finite has no word in JSON: databases refuse such XComs.
        finite = {name: value for name, value in metrics.items() if math.isfinite(value)}
        judged = {"metrics": finite, "gates": [str(gate) for gate in gates], "passed": not failures}
        result = {**result, "checkpoint": self.checkpoint, **judged}
        if not failures:
            return result
        context["ti"].xcom_push(key="return_value", value=result)
        words = "the checkpoint did not pass: " + "; ".join(failures)
        if self.on_gate_failure == "skip":
            raise AirflowSkipException(words)
        raise GateFailed(words)


def read_metrics(
    path: str, path_map: Mapping[str, str] | None, storage_conn_id: str | None = None
) -> dict[str, float]:
    """
    Read what the evaluation wrote.

    :raises MetricsError: if it is missing, unreadable, a link, larger than :data:`LARGEST_METRICS`,
        or holds anything but numbers.
    """
    where = small_file(path, path_map, storage_conn_id)
    try:
        raw = where.read(LARGEST_METRICS)
    except FileNotFoundError:
        raise MetricsError(
            f"{where}: missing; the evaluation must write its metrics to the path in $METRICS"
        ) from None
    except Exception as error:
        raise MetricsError(f"{where}: cannot be read: {_complaint(error)}") from error
    if len(raw) > LARGEST_METRICS:
        raise MetricsError(
            f"{where}: larger than {LARGEST_METRICS} bytes; allowed: a JSON object of a few numbers"
        )
    return parse_metrics(raw, str(where))


def _complaint(error: Exception) -> str:
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.checking.reader import cause

    return getattr(error, "strerror", None) or cause(error)
