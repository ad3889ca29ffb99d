"""
A drill's result for people (text), for programs (JSON), and as files in a directory.

Holds no values of arguments or variables: they may be secrets. The keys of the JSON do not change;
``docs/drill.md`` explains them.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_runai.core.texts import plural
from airflow_runai.drill.facts import Start, TrainingRun
from airflow_runai.drill.judgement import DrillResult
from airflow_runai.drill.losses import Cost, Loss
from airflow_runai.drill.picture import Json, picture
from airflow_runai.drill.plan import DrillPlan

SCHEMA = "runai-drill/1"
_SURVIVES = {"pass": "yes", "fail": "no", "unknown": "not decided"}
_LABELS = {"pass": "pass", "fail": "FAIL", "unknown": "?"}
_VERDICTS = {0: "pass", 1: "fail", 3: "unknown"}
_WIDTH = 118


def write(result: DrillResult, directory: Path) -> None:
    """Write ``report.txt``, ``drill.json`` and ``drill.svg``."""
    directory.mkdir(parents=True, exist_ok=True)
    report = to_json(result)
    (directory / "report.txt").write_text(text(report) + "\n")
    (directory / "drill.json").write_text(json.dumps(report, indent=1) + "\n")
    (directory / "drill.svg").write_text(picture(report))


def text(report: Json) -> str:
    """
    Return the report as plain text, at most 120 characters wide.

    :param report: what :func:`to_json` returns.
    """
    parts = [
        [f"Will {report['script']} survive? {_SURVIVES[report['verdict']]}"],
        list(_check_lines(report["checks"])),
        list(_preemption_table(report)),
        list(_cost_lines(report)),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _check_lines(checks: Sequence[Json]) -> Iterator[str]:
    previous_reason = None
    for check in checks:
        # One cause often fails several checks in a row.
        reason = "as above" if check["reason"] == previous_reason else check["reason"]
        yield from _wrapped(f"{_LABELS[check['verdict']]:<5} {check['name']:<9} ", reason)
        previous_reason = check["reason"]
        if check["advice"]:
            yield from _wrapped(" " * 16 + "→ ", f"{check['advice']} ({check['page']})")


def _wrapped(label: str, sentence: str) -> list[str]:
    indent = " " * len(label)
    lines = textwrap.wrap(sentence, _WIDTH, initial_indent=label, subsequent_indent=indent)
    # textwrap makes no line of an empty sentence.
    return lines or [label]


def _preemption_table(report: Json) -> Iterator[str]:
    # Not drawn by rich: the same text goes into a file, and into the documentation.
    drill = next(run for run in report["runs"] if run["kind"] == "drill")
    starts = {start["number"]: start for start in drill["starts"]}
    rows = [_preemption_row(loss, starts[loss["start"]]) for loss in report["preemptions"]]
    if not rows:
        return
    rows.insert(0, ("start", "node", "ran", "to stop", "exit", "work lost", "to start again"))
    columns = [_padded(column) for column in zip(*rows, strict=True)]
    for cells in zip(*columns, strict=True):
        yield "  ".join(cells).rstrip()


def _padded(column: Sequence[str]) -> list[str]:
    width = max(map(len, column))
    return [cell.ljust(width) for cell in column]


def _preemption_row(loss: Json, start: Json) -> tuple[str, ...]:
    lost = f"{loss['lost_seconds']:.1f} s"
    if loss["lost_steps"] is not None:
        lost += f" ({plural(loss['lost_steps'], 'step')})"
    return (
        str(loss["start"]),
        start["node"],
        f"{start['signalled_at'] - start['started_at']:.1f} s",
        f"{loss['stop_seconds']:.2f} s",
        "killed" if loss["killed"] else str(start["exit_code"]),
        lost,
        f"{loss['start_seconds']:.1f} s",
    )


def _cost_lines(report: Json) -> Iterator[str]:
    cost, rate = report["cost"], report["plan"]["preemptions_per_day"]
    if cost is not None:
        yield (
            f"At {rate:g} preemptions a day: {cost['overhead_seconds']:.1f} s each, "
            f"{cost['seconds_per_day']:.0f} s a day, {cost['share_of_day']:.2%} of it "
            "(waiting for a node not counted)."
        )
    elif report["preemptions"]:
        hours = f" ({24 / rate:.1f} h of work, on average)" if rate else ""
        yield from _wrapped(
            "",
            f"At {rate:g} preemptions a day: everything since the start, each time{hours}. A "
            "training that takes longer than one stretch between two preemptions never ends.",
        )


def to_json(result: DrillResult) -> dict[str, Any]:
    """Return the report as plain JSON data; times are seconds since the run was submitted."""
    facts = result.facts
    runs = (*facts.references, facts.run, facts.kill_during_write)
    return {
        "schema": SCHEMA,
        "script": facts.plan.script.name,
        "verdict": _VERDICTS[result.exit_code],
        "plan": _plan(facts.plan),
        "checks": [
            {**asdict(check), "page": f"docs/drill.md#{check.name}"} for check in result.checks
        ],
        "preemptions": [_loss(loss) for loss in result.losses],
        "cost": _cost(result.cost) if result.cost else None,
        "runs": [_run(run) for run in runs if run],
    }


def _plan(plan: DrillPlan) -> dict[str, Any]:
    return {
        "preempt_after_seconds": plan.preempt_after,
        "times": plan.times,
        "grace_seconds": plan.grace,
        "preemptions_per_day": plan.rate,
    }


def _loss(loss: Loss) -> dict[str, Any]:
    return {
        "start": loss.number,
        "lost_seconds": _rounded(loss.seconds),
        "lost_steps": loss.steps,
        "stop_seconds": _rounded(loss.stop_seconds),
        "start_seconds": _rounded(loss.start_seconds),
        "killed": loss.killed,
    }


def _cost(cost: Cost) -> dict[str, float]:
    return {
        "overhead_seconds": round(cost.overhead, 3),
        "seconds_per_day": round(cost.seconds_per_day, 3),
        "share_of_day": round(cost.share, 6),
    }


def _run(run: TrainingRun) -> dict[str, Any]:
    return {
        "kind": run.kind,
        "ended": run.ended,
        "blind": run.blind,
        "starts": [_start(start) for start in run.starts],
        "checkpoints": [{**asdict(write), "at": _rounded(write.at)} for write in run.writes],
    }


def _start(start: Start) -> dict[str, Any]:
    fields = asdict(start)
    return {
        name: _rounded(value) if name.endswith("_at") else value for name, value in fields.items()
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
