"""
The command line: ``check PATH…`` and ``select ROOT``, one JSON object a line.

Exit code 0 when all were accepted (one was chosen), 1 when not, 2 for a wrong command line or a root that is no
directory. Knows local paths only; operators give object storage to the same functions.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from airflow_runai.checkpoints import Policy, Report, RootProblem, check, select
from airflow_runai.checkpoints.progress import Progress, bar

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    :param arguments: without the program's name; those of the process by default.
    :return: the exit code.
    """
    options = _parser().parse_args(arguments)
    try:
        return _check(options) if options.command == "check" else _select(options)
    except BrokenPipeError:
        # Whoever read our output has enough; without this Python complains once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except RootProblem as problem:
        print(f"{problem.code}: {problem}", file=sys.stderr)
        return 2 if problem.code in ("root-missing", "root-is-file") else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m airflow_runai.checkpoints", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check", help="look at checkpoints")
    checking.add_argument("paths", nargs="+", metavar="PATH", type=Path)
    selecting = commands.add_parser("select", help="find the newest checkpoint that passes")
    selecting.add_argument("root", metavar="ROOT", type=Path)
    selecting.add_argument("--min-step", type=int, metavar="N", help="refuse checkpoints of a lower step")
    for command in (checking, selecting):
        depth = "0 listing, 1 structure, 2 integrity, 3 content (default)"
        command.add_argument("--level", type=int, choices=(0, 1, 2, 3), default=3, help=depth)
        command.add_argument("--strict", action="store_true", help="refuse pickles that name foreign classes")
        command.add_argument("--accept-unverifiable", action="store_true", help="accept what nothing can prove")
    return parser


def _check(options: argparse.Namespace) -> int:
    policy, progress = Policy(strict=options.strict), _progress()
    reports = (check(path, level=options.level, policy=policy, progress=progress) for path in options.paths)
    accepted = [report.accepted(accept_unverifiable=options.accept_unverifiable) for report in _printed(reports)]
    return 0 if all(accepted) else 1


def _select(options: argparse.Namespace) -> int:
    selection = select(
        options.root,
        level=options.level,
        accept_unverifiable=options.accept_unverifiable,
        strict=options.strict,
        min_step=options.min_step,
        progress=_progress(),
    )
    chosen = () if selection.chosen is None else (selection.chosen,)
    for _ in _printed((*selection.rejected, *chosen)):
        pass
    return 0 if chosen else 1


def _progress() -> Progress | None:
    """Draw a bar where somebody is looking; a log or a pipe gets none."""
    if not sys.stderr.isatty():
        return None
    width = os.get_terminal_size(sys.stderr.fileno()).columns or 80
    return Progress(lambda moment: _draw("\r" + bar(moment, width - 1)), every=0.05)


def _draw(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _printed(reports: Iterable[Report]) -> Iterable[Report]:
    for report in reports:
        if sys.stderr.isatty():
            _draw("\r\x1b[K")
        print(json.dumps(report.to_json()), flush=True)
        yield report


if __name__ == "__main__":
    sys.exit(main())
