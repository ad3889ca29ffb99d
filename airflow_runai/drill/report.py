"""
A drill's outcome for people (text), for programs (JSON), and as files in a directory.

Holds no values of arguments or variables: they may be secrets. The keys of the JSON are stable;
``docs/drill.md`` explains them.
"""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airflow_runai.drill.facts import Start, TrainingRun
from airflow_runai.drill.judgement import DrillResult
from airflow_runai.drill.picture import picture

SCHEMA = "runai-drill/1"
_ANSWERS = {"pass": "yes", "fail": "no", "unknown": "not decided"}
_SHOWN = {"pass": "pass", "fail": "FAIL", "unknown": "?"}
_WIDTH = 118


def write(outcome: DrillResult, directory: Path) -> None:
    """Write ``report.txt``, ``drill.json`` and ``drill.svg``."""
    directory.mkdir(parents=True, exist_ok=True)
    found = to_json(outcome)
    (directory / "report.txt").write_text(text(found) + "\n")
    (directory / "drill.json").write_text(json.dumps(found, indent=1) + "\n")
    (directory / "drill.svg").write_text(picture(found))


def text(report: Mapping[str, Any]) -> str:
    """
    Return the report as plain text, at most 120 characters wide.

    :param report: what :func:`to_json` returns.
    """
    head = f"Will {report['script']} survive? {_ANSWERS[report['verdict']]}"
    parts = [
        [head],
        list(_check_lines(report)),
        list(_table(_preemption_rows(report))),
        list(_cost_lines(report)),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines)


def _check_lines(report: Mapping[str, Any]) -> Iterator[str]:
    before = None
    for check in report["checks"]:
        reason = "as above" if check["reason"] == before else check["reason"]
        yield from _wrapped(f"{_SHOWN[check['verdict']]:<5} {check['name']:<9} ", reason)
        before = check["reason"]
        if check["advice"]:
            yield from _wrapped(" " * 16 + "→ ", f"{check['advice']} ({check['page']})")


def _wrapped(begin: str, words: str) -> list[str]:
    return textwrap.wrap(
        words, _WIDTH, initial_indent=begin, subsequent_indent=" " * len(begin)
    ) or [begin]


def _drilled(report: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = next(run for run in report["runs"] if run["kind"] == "drill")
    return found


def _preemption_rows(report: Mapping[str, Any]) -> list[Sequence[str]]:
    starts = {start["number"]: start for start in _drilled(report)["starts"]}
    rows: list[Sequence[str]] = [
        ("start", "node", "ran", "to stop", "exit", "work lost", "to start again")
    ]
    for loss in report["preemptions"]:
        start, steps = starts[loss["start"]], loss["lost_steps"]
        told = "" if steps is None else f" ({steps} step{'s' * (steps != 1)})"
        ran = f"{start['signalled_at'] - start['started_at']:.1f} s"
        code = "killed" if loss["killed"] else str(start["exit_code"])
        lost, again = f"{loss['lost_seconds']:.1f} s{told}", f"{loss['start_seconds']:.1f} s"
        rows.append(
            (
                str(loss["start"]),
                start["node"],
                ran,
                f"{loss['stop_seconds']:.2f} s",
                code,
                lost,
                again,
            )
        )
    return rows if len(rows) > 1 else []


def _table(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def _cost_lines(report: Mapping[str, Any]) -> Iterator[str]:
    cost, rate = report["cost"], report["plan"]["preemptions_per_day"]
    if cost is not None:
        yield (
            f"At {rate:g} preemptions a day: {cost['overhead_seconds']:.1f} s each, {cost['seconds_per_day']:.0f} s a "
            f"day, {cost['share_of_day']:.2%} of it (waiting for a node not counted)."
        )
    elif report["preemptions"]:
        hours = f" ({24 / rate:.1f} h of work, on average)" if rate else ""
        yield from _wrapped(
            "",
            f"At {rate:g} preemptions a day: everything since the start, each time{hours}. A training that takes "
            "longer than one stretch between two preemptions never ends.",
        )


def to_json(outcome: DrillResult) -> dict[str, Any]:
    """Render as plain JSON data; times are seconds since the submission of the run."""
    facts, plan = outcome.facts, outcome.facts.plan
    runs = [
        *facts.references,
        facts.run,
        *([facts.kill_during_write] if facts.kill_during_write else []),
    ]
    return {
        "schema": SCHEMA,
        "script": plan.script.name,
        "verdict": {0: "pass", 1: "fail", 3: "unknown"}[outcome.exit_code],
        "plan": {
            "preempt_after_seconds": plan.preempt_after,
            "times": plan.times,
            "grace_seconds": plan.grace,
            "preemptions_per_day": plan.rate,
        },
        "checks": [
            {**asdict(check), "page": f"docs/drill.md#{check.name}"} for check in outcome.checks
        ],
        "preemptions": [
            {
                "start": loss.number,
                "lost_seconds": _rounded(loss.seconds),
                "lost_steps": loss.steps,
                "stop_seconds": _rounded(loss.stop_seconds),
                "start_seconds": _rounded(loss.start_seconds),
                "killed": loss.killed,
            }
            for loss in outcome.losses
        ],
        "cost": _cost(outcome),
        "runs": [_run(run) for run in runs],
    }


def _cost(outcome: DrillResult) -> dict[str, float] | None:
    if outcome.cost is None:
        return None
    return {
        "overhead_seconds": round(outcome.cost.overhead, 3),
        "seconds_per_day": round(outcome.cost.seconds_per_day, 3),
        "share_of_day": round(outcome.cost.share, 6),
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
    found = asdict(start)
    return {
        name: _rounded(value) if name.endswith("_at") else value for name, value in found.items()
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
