"""
The command line of checkpoints: ``check``, ``select``, ``quarantine`` and ``retain``.

``check`` and ``select`` print one JSON object a line and change nothing. ``quarantine`` moves a bad
checkpoint aside, ``retain`` removes old ones by rule; both report as one JSON object. The exit code
is 0 if all were accepted (one was selected, moved, the rules were applied), 1 if not, 2 for a wrong
command line or a root that is no directory. Reads local paths only; operators pass object storage
to the same functions. :mod:`~airflow_runai.checkpoints.commands` has the commands.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from airflow_runai.checkpoints import RequirementError, RootProblem, commands
from airflow_runai.checkpoints.checking.findings import ACCEPTABLE
from airflow_runai.checkpoints.keeping.quarantine import QuarantineProblem
from airflow_runai.checkpoints.keeping.retention import Retention, RetentionProblem

_SUMMARY = "Check checkpoints, select the newest that passes, quarantine bad ones, remove old ones."


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    :param arguments: without the program's name; those of the process by default.
    :return: the exit code.
    """
    options = parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:
        # The reader of the output has closed it; without this, the flush at exit fails once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RootProblem as problem:
        print(f"{problem.code}: {problem}", file=sys.stderr)
        return 2 if problem.code in ("root-missing", "root-is-file") else 1
    except QuarantineProblem as problem:
        print(problem, file=sys.stderr)
        return 1
    except (RequirementError, RetentionProblem, commands.FileProblem) as problem:
        print(problem, file=sys.stderr)
        return 2


def parser() -> argparse.ArgumentParser:
    """Build the parser; the documentation's table of options is generated from it."""
    made = argparse.ArgumentParser("python -m airflow_runai.checkpoints", description=_SUMMARY)
    found = made.add_subparsers(dest="command", required=True)
    _add_check(found.add_parser("check", help="check checkpoints"))
    _add_select(found.add_parser("select", help="find the newest checkpoint that passes"))
    _add_quarantine(
        found.add_parser("quarantine", help="move a bad checkpoint to quarantine/ beside it")
    )
    _add_retain(found.add_parser("retain", help="remove old checkpoints by rule"))
    return made


def _add_check(command: argparse.ArgumentParser) -> None:
    command.add_argument("paths", nargs="+", metavar="PATH", type=Path)
    _add_check_options(command)
    _add_requirements(command)
    _add_acceptance(command)
    command.set_defaults(run=commands.check)


def _add_select(command: argparse.ArgumentParser) -> None:
    command.add_argument("root", metavar="ROOT", type=Path)
    text = "refuse checkpoints of a lower step"
    command.add_argument("--min-step", type=int, metavar="N", help=text)
    text = "write the full report, and compare as --ledger"
    command.add_argument("--report", type=Path, metavar="FILE", help=text)
    _add_check_options(command)
    _add_requirements(command)
    _add_acceptance(command)
    command.set_defaults(run=commands.select)


def _add_quarantine(command: argparse.ArgumentParser) -> None:
    command.add_argument("path", metavar="PATH", type=Path)
    _add_check_options(command)
    _add_accepted_codes(command)
    command.set_defaults(run=commands.quarantine)


def _add_retain(command: argparse.ArgumentParser) -> None:
    command.add_argument("root", metavar="ROOT", type=Path)
    _add_retention_rules(command)
    command.add_argument("--dry-run", action="store_true", help="only say what would go")
    _add_level(command, Retention().level)
    _add_acceptance(command)
    command.set_defaults(run=commands.retain)


def _add_retention_rules(command: argparse.ArgumentParser) -> None:
    rules, add = Retention(), command.add_argument
    text = "the newest valid ones; at least 1"
    add("--keep-last", type=int, required=True, metavar="N", help=text)
    text = "valid ones with the best metric"
    add("--keep-best", type=int, default=0, metavar="N", help=text)
    add("--metric", metavar="NAME", help="which one, of the manifests")
    text = "which values are best"
    add("--metric-mode", choices=("max", "min"), default=rules.metric_mode, help=text)
    text = "name or pattern that always stays"
    add("--keep-name", action="append", default=[], metavar="NAME", help=text)
    text = "the pointer to the champion, which stays"
    add("--champion", type=Path, metavar="FILE", help=text)
    text = "keep what changed within this many seconds"
    add("--min-age", type=float, default=rules.min_age_seconds, metavar="S", help=text)


def _add_check_options(command: argparse.ArgumentParser) -> None:
    _add_level(command, 3)
    text = "refuse pickles that name foreign classes"
    command.add_argument("--strict", action="store_true", help=text)
    command.add_argument("--ledger", type=Path, metavar="FILE", help="a report to compare with")


def _add_level(command: argparse.ArgumentParser, default: int) -> None:
    text = f"0 listing, 1 structure, 2 integrity, 3 content; default {default}"
    command.add_argument("--level", type=int, choices=(0, 1, 2, 3), default=default, help=text)


def _add_requirements(command: argparse.ArgumentParser) -> None:
    text = "requirements, or a report whose tensors must match"
    command.add_argument("--requirements", type=Path, metavar="FILE", help=text)


def _add_acceptance(command: argparse.ArgumentParser) -> None:
    text = "accept what nothing can prove"
    command.add_argument("--accept-unverifiable", action="store_true", help=text)
    _add_accepted_codes(command)


def _add_accepted_codes(command: argparse.ArgumentParser) -> None:
    codes = sorted(ACCEPTABLE)
    command.add_argument(
        "--accept",
        action="append",
        default=[],
        choices=codes,
        metavar="CODE",
        help=f"a finding that only warns: {', '.join(codes)}",
    )


if __name__ == "__main__":
    sys.exit(main())
