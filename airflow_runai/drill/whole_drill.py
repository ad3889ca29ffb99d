"""
The whole drill: an uninterrupted run first, then the one that is preempted, and what else it takes to be sure.

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

from airflow_runai.drill.answers import plural
from airflow_runai.drill.facts import DrillFacts, TrainingRun
from airflow_runai.drill.judgement import DrillResult, judge
from airflow_runai.drill.plan import DrillError, DrillPlan
from airflow_runai.drill.single_run import READY_SECONDS, RunKind, perform


def hold(plan: DrillPlan, say: Callable[[str], None], report: Path | None = None) -> DrillResult:
    """
    Hold a drill.

    :param say: told what happens, line by line.
    :param report: where to keep the logs of all starts, if they are wanted.
    :raises DrillProblem: the script cannot be drilled: its folder is too large, it fails by itself,
        or it ends before it could be preempted.
    """
    with _temporary(report) as home:
        return judge(
            _facts(
                plan, lambda kind, name, patience: perform(plan, kind, home / name, say, patience)
            )
        )


def _facts(plan: DrillPlan, perform: Callable[[RunKind, str, float], TrainingRun]) -> DrillFacts:
    reference = perform("reference", "reference", READY_SECONDS)
    _check(plan, reference)
    # Whoever handled no SIGTERM in all of a run will not in the next: then each start counts from
    # its beginning.
    patience = READY_SECONDS if reference.starts[0].ready_at is not None else 0.0
    run = perform("drill", "drill", patience)
    references = [reference]
    if plan.references == 2 and _differ(run, reference):
        references.append(perform("reference", "reference-2", patience))
    fills = any(write.in_place for one in (run, *references) for write in one.writes)
    return DrillFacts(
        plan, run, tuple(references), perform("strike", "strike", patience) if fills else None
    )


def _check(plan: DrillPlan, reference: TrainingRun) -> None:
    """Refuse what no preemption can be tried on."""
    start = reference.starts[-1]
    if reference.ended == "failed":
        raise DrillError(
            f"script {plan.script}: ended with exit code {start.exit_code} by itself, without being preempted; it must "
            f"work before it can be drilled. It runs in a copy of its folder, without your environment (--env); its "
            f"last words:\n{reference.log or '(none)'}"
        )
    seconds = start.ended_at - (start.ready_at or start.started_at)
    if reference.ended == "completed" and seconds <= plan.preempt_after:
        fit = f"{plural(plan.times, 'preemption')} fit with {fitting(seconds, plan.times)}"
        raise DrillError(
            f"--preempt-after: {plan.preempt_after:g} s is too late, the training ends by itself after "
            f"{seconds:.1f} s; use a shorter one ({fit}) or let it train longer"
        )


def fitting(seconds: float, times: int) -> str:
    """Propose a ``--preempt-after``; with room for one more, since no two starts take the same."""
    milliseconds = int(1000 * seconds / (times + 2))
    return f"{milliseconds // 1000}s" if milliseconds >= 1000 else f"{max(1, milliseconds)}ms"


def _differ(run: TrainingRun, reference: TrainingRun) -> bool:
    """Whether the same steps led to something else; another number of steps is never chance."""
    one, other = run.final, reference.final
    if run.ended != "completed" or one is None or other is None:
        return False
    return one.step == other.step and one.digest != other.digest


@contextmanager
def _temporary(report: Path | None) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="runai-drill-", ignore_cleanup_errors=True) as name:
        home = Path(name)
        try:
            yield home
        finally:
            if report is not None:
                for logs in home.glob("*/logs"):
                    shutil.copytree(logs, report / "logs" / logs.parent.name, dirs_exist_ok=True)
