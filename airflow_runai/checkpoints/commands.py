"""Runs each command with its options: prints JSON and returns the exit code."""

from __future__ import annotations

import json
import os
import sys
import time
from argparse import Namespace
from pathlib import Path

from airflow_runai import checkpoints
from airflow_runai.checkpoints import Ledger, Policy, Report, Requirements, Selection
from airflow_runai.checkpoints.checking.reader import cause
from airflow_runai.checkpoints.choosing.report_file import (
    read_ledger,
    read_requirements,
    write_report,
)
from airflow_runai.checkpoints.keeping.quarantine import quarantine as move_aside
from airflow_runai.checkpoints.keeping.removal import remove
from airflow_runai.checkpoints.keeping.retention import Retention, plan_retention
from airflow_runai.checkpoints.storage.progress import Progress, bar
from airflow_runai.checkpoints.storage.small_files import SmallFile
from airflow_runai.errors import RunaiError


class FileProblem(RunaiError, ValueError):
    """A file that an option names cannot be used."""


def check(options: Namespace) -> int:
    """Check each path."""
    requirements = _requirements(options.requirements)
    ledger = _ledger(options.ledger)
    progress = _progress()
    passed = []
    for path in options.paths:
        report = _checked(path, options, ledger, progress)
        accepted = report.accepted(accept_unverifiable=options.accept_unverifiable)
        unmet = requirements.judge(report) if accepted else ()
        document = report.to_json()
        document["findings"] = [vars(finding) for finding in (*report.findings, *unmet)]
        _print(document)
        passed.append(accepted and not unmet)
    return 0 if all(passed) else 1


def select(options: Namespace) -> int:
    """Select the newest that passes; the refused ones are printed first."""
    if options.report and options.ledger:
        raise FileProblem("--report and --ledger: both name what is compared with; name one")
    ledger = _ledger(options.report or options.ledger, room=bool(options.report))
    selection = checkpoints.select(
        options.root,
        level=options.level,
        accept_unverifiable=options.accept_unverifiable,
        strict=options.strict,
        accept=options.accept,
        min_step=options.min_step,
        requirements=_requirements(options.requirements),
        ledger=ledger,
        progress=_progress(),
    )
    if options.report:
        _write(options.report, selection, ledger)
    for report in selection.rejected:
        _print(report.to_json())
    if selection.chosen is not None:
        _print(selection.chosen.to_json())
    advice = selection.advice("--accept-unverifiable")
    if advice:
        print(advice, file=sys.stderr)
    return 0 if selection.chosen else 1


def quarantine(options: Namespace) -> int:
    """Check again, and move what is known to be bad."""
    report = _checked(options.path, options, _ledger(options.ledger), _progress())
    document = report.to_json()
    document["quarantined"] = str(move_aside(options.path, report))
    _print(document)
    return 0


def retain(options: Namespace) -> int:
    """Plan, and remove unless it is a dry run."""
    rules = Retention(
        keep_last=options.keep_last,
        keep_best=options.keep_best,
        metric=options.metric,
        metric_mode=options.metric_mode,
        keep_names=tuple(options.keep_name),
        level=options.level,
        accept_unverifiable=options.accept_unverifiable,
        accept=tuple(options.accept),
        min_age_seconds=options.min_age,
    )
    now = time.time()
    plan = plan_retention(options.root, rules, now=now, champion=options.champion)
    removed = plan.remove if options.dry_run else remove(plan, now=now)
    document = {
        "dry_run": options.dry_run,
        "removed": [path.name for path in removed],
        "kept": dict(plan.keep),
    }
    _print(document)
    return 0


def _checked(
    path: Path, options: Namespace, ledger: Ledger | None, progress: Progress | None
) -> Report:
    policy = Policy(strict=options.strict, accept=frozenset(options.accept))
    return checkpoints.check(
        path, level=options.level, policy=policy, ledger=ledger, progress=progress
    )


def _requirements(path: Path | None) -> Requirements:
    try:
        return Requirements() if path is None else read_requirements(path)
    except OSError as error:
        raise FileProblem(f"--requirements: {path}: cannot be read ({cause(error)})") from None


def _ledger(path: Path | None, *, room: bool = False) -> Ledger | None:
    """Read the ledger of a report; only a report that will be written need not exist."""
    if path is None:
        return None
    try:
        # Before the reading, which may take hours: it would be lost without a report.
        if room:
            SmallFile(path).make_room()
        elif not path.exists():
            advice = "name a report that --report or report_path wrote"
            raise FileProblem(f"--ledger: {path}: does not exist; {advice}")
        return read_ledger(path)
    except OSError as error:
        raise FileProblem(f"{path}: cannot be used ({cause(error)})") from None
    except ValueError as error:
        raise FileProblem(str(error)) from None


def _write(path: Path, found: Selection, ledger: Ledger | None) -> None:
    try:
        write_report(path, found, ledger)
    except OSError as error:
        raise FileProblem(f"--report: {path}: cannot be written ({cause(error)})") from None


def _progress() -> Progress | None:
    """Draw a bar on a terminal; a log or a pipe gets none."""
    if not sys.stderr.isatty():
        return None
    # Some terminals report a width of 0.
    width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return Progress(lambda moment: _draw("\r" + bar(moment, width - 1)), every=0.05)


def _draw(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _print(document: dict[str, object]) -> None:
    # The bar would stay behind a shorter line.
    if sys.stderr.isatty():
        _draw("\r\x1b[K")
    print(json.dumps(document), flush=True)
