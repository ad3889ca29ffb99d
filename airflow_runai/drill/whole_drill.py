"""
The whole drill: an uninterrupted run, then the preempted one, and further runs where needed.

A second uninterrupted run is held only if the results differ, to tell lost state from chance. A run
that is killed in the middle of a write is held only if a checkpoint was seen being filled under its
final name.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from airflow_runai.core.texts import plural
from airflow_runai.drill.facts import DrillFacts, RunKind, TrainingRun
from airflow_runai.drill.judgement import DrillResult, judge
from airflow_runai.drill.plan import DrillError, DrillPlan
from airflow_runai.drill.single_run import READY_SECONDS, perform


def hold(plan: DrillPlan, log: Callable[[str], None], report: Path | None = None) -> DrillResult:
    """
    Hold a drill.

    :param log: called with one line for each event.
    :param report: where to keep the logs of all starts.
    :raises DrillError: the script cannot be drilled: its folder is too large, it fails by itself,
        or it ends before it could be preempted.
    """
    with _temporary_directory(report) as home:

        def perform_in(name: str, kind: RunKind, ready_timeout: float) -> TrainingRun:
            return perform(plan, kind, home / name, log, ready_timeout)

        return judge(_facts(plan, perform_in))


def _facts(plan: DrillPlan, perform: Callable[[str, RunKind, float], TrainingRun]) -> DrillFacts:
    reference = perform("reference", "reference", READY_SECONDS)
    _check_drillable(plan, reference)
    # A script that never handled SIGTERM will not do so in the next run either: there is no use in
    # waiting for it.
    ready_timeout = READY_SECONDS if reference.starts[0].ready_at is not None else 0.0
    run = perform("drill", "drill", ready_timeout)
    runs = [run, reference]
    # Another result may be chance: see whether two uninterrupted runs agree.
    if plan.references == 2 and _results_differ(run, reference):
        runs.append(perform("reference-2", "reference", ready_timeout))
    # A write in place was seen, so that a kill can hit it: see what the next start makes of it.
    kill_during_write = None
    if any(write.in_place for one in runs for write in one.writes):
        kill_during_write = perform("strike", "strike", ready_timeout)
    return DrillFacts(plan, run, tuple(runs[1:]), kill_during_write)


def _check_drillable(plan: DrillPlan, reference: TrainingRun) -> None:
    """Refuse a script that fails by itself, or ends before the first preemption."""
    start = reference.starts[-1]
    if reference.ended == "failed":
        raise DrillError(
            f"script {plan.script}: ended with exit code {start.exit_code} by itself, without "
            "being preempted; it must work before it can be drilled. It runs in a copy of its "
            "folder, without your environment (--env); its last lines:\n"
            f"{reference.log or '(none)'}"
        )
    seconds = start.ended_at - start.trains_from
    if reference.ended == "completed" and seconds <= plan.preempt_after:
        fit = f"{plural(plan.times, 'preemption')} fit with {fitting(seconds, plan.times)}"
        raise DrillError(
            f"--preempt-after: {plan.preempt_after:g} s is too late, the training ends by itself "
            f"after {seconds:.1f} s; use a shorter one ({fit}) or let it train longer"
        )


def fitting(seconds: float, times: int) -> str:
    """Propose a ``--preempt-after``; with room for one more, since no two starts take the same."""
    milliseconds = int(1000 * seconds / (times + 2))
    if milliseconds >= 1000:
        return f"{milliseconds // 1000}s"
    return f"{max(1, milliseconds)}ms"


def _results_differ(run: TrainingRun, reference: TrainingRun) -> bool:
    """Return whether the same steps led to another result; other steps are never chance."""
    final, expected = run.final, reference.final
    if run.ended != "completed" or final is None or expected is None:
        return False
    return final.step == expected.step and final.digest != expected.digest


@contextmanager
def _temporary_directory(report: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="runai-drill-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        try:
            yield home
        finally:
            # Also of a drill that was interrupted.
            if report is not None:
                for logs in home.glob("*/logs"):
                    shutil.copytree(logs, report / "logs" / logs.parent.name, dirs_exist_ok=True)
