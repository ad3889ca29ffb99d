"""
The command line of the drill, for ``airflow runai drill`` and ``python -m airflow_runai.drill``.

Knows arguments and exit codes. Whatever takes long to import is imported when a drill is held.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_runai.drill.plan import DEFAULT_VARIABLE, DrillError, DrillPlan, duration

_EPILOG = f"""
The script runs on this machine, in a copy of its folder; {DEFAULT_VARIABLE} names the directory to
save in. Exit code: 0 all checks passed, 1 one failed, 2 wrong usage (or a script that cannot run),
3 something could not be decided, 130 interrupted.
"""
_USAGE = "SCRIPT [options] [-- ARGUMENT ...]"


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the drill's arguments to a parser; :func:`run` expects what it parses.

    :param parser: the parser of ``airflow runai drill``, or one of its own.
    """
    parser.description = (
        "Preempt a training script in an embedded Run:ai, and see whether it survives."
    )
    parser.epilog = _EPILOG
    parser.usage = f"{parser.prog} {_USAGE}"
    _add_options(parser)
    # argparse accepts no positionals behind options, and drops a -- behind the first one:
    # `_complete` reads these words.
    parser.add_argument(
        "words",
        nargs=argparse.REMAINDER,
        metavar="SCRIPT",
        help="the start-up script, as Run:ai would start it; behind --, its arguments",
    )


def run(arguments: argparse.Namespace) -> int:
    """
    Hold the drill and print its report.

    :param arguments: parsed by the parser of :func:`configure`.
    :return: 0 all checks passed, 1 one failed, 2 wrong usage, 3 something could not be decided, 130
        interrupted.
    """
    try:
        with _signals_interrupt():
            return _hold(_complete(arguments))
    except DrillError as error:
        for problem in error.problems:
            print(f"drill: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("drill: interrupted; everything that it started was stopped", file=sys.stderr)
        return 130


def _hold(arguments: argparse.Namespace) -> int:
    plan = _plan(arguments)
    if arguments.report:
        _make_directory(arguments.report)
    # Imported here: web server, HTTP client and checkpoint formats would slow down --help.
    from airflow_runai.drill import report, whole_drill

    result = whole_drill.hold(plan, _log, arguments.report)
    if arguments.report:
        report.write(result, arguments.report)
    document = report.to_json(result)
    print(json.dumps(document, indent=1) if arguments.json else report.text(document))
    return result.exit_code


def _make_directory(directory: Path) -> None:
    """Make the report's directory before anything runs for minutes."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DrillError(
            f"--report {directory}: {error.strerror}; give a directory that can be written"
        ) from None


def _log(line: str) -> None:
    print(f"drill: {line}", file=sys.stderr, flush=True)


@contextmanager
def _signals_interrupt() -> Iterator[None]:
    """Let SIGTERM and a closed terminal end a drill as Ctrl-C does: with all its processes."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _complete(arguments: argparse.Namespace) -> argparse.Namespace:
    """Read the script and the options behind it; what follows ``--`` is the script's."""
    words = arguments.words
    end = words.index("--") if "--" in words else len(words)
    if end == 0:
        raise DrillError("no script: give the path of the start-up script, such as ./startup.sh")
    arguments.script, arguments.arguments = Path(words[0]), words[end + 1 :]
    parser = argparse.ArgumentParser("drill", usage=f"drill {_USAGE}", add_help=False)
    _add_options(parser)
    # Into the same namespace: argparse sets a default only where nothing is set yet.
    _, unknown = parser.parse_known_args(words[1:end], arguments)
    if unknown:
        raise DrillError(
            f"{unknown[0]!r} is not an option of the drill; arguments of the script go behind --"
        )
    return arguments


def _plan(arguments: argparse.Namespace) -> DrillPlan:
    return DrillPlan(
        script=arguments.script,
        arguments=tuple(arguments.arguments),
        preempt_after=arguments.preempt_after,
        times=arguments.times,
        grace=arguments.grace,
        checkpoints=arguments.checkpoints,
        environment=dict(arguments.env or ()),
        references=arguments.references,
        limit=arguments.limit,
        rate=arguments.rate,
    )


def _argument(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show the message of a ``ValueError`` instead of its own."""

    def convert_or_explain(text: str) -> Any:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert_or_explain


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE, such as EPOCHS=3")
    return name, value


def _add_options(parser: argparse.ArgumentParser) -> None:
    _add_preemption_options(parser)
    _add_run_options(parser)
    parser.add_argument(
        "--report",
        type=Path,
        metavar="DIR",
        help="write report.txt, drill.json, drill.svg and logs there",
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of the table")


def _add_preemption_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--preempt-after",
        type=_argument(duration),
        default=DrillPlan.preempt_after,
        metavar="DURATION",
        help="preempt each start this long after it first handles SIGTERM (default: 20s)",
    )
    parser.add_argument(
        "--times",
        type=int,
        default=DrillPlan.times,
        metavar="N",
        help="number of preemptions (default: %(default)s)",
    )
    parser.add_argument(
        "--grace",
        type=_argument(duration),
        default=DrillPlan.grace,
        metavar="DURATION",
        help="time from SIGTERM to SIGKILL (default: 30s)",
    )
    parser.add_argument(
        "--rate",
        type=float,
        default=DrillPlan.rate,
        metavar="PER_DAY",
        help="preemptions a day, for the cost (default: 10)",
    )


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--checkpoints",
        metavar="DIR",
        help=f"where the script saves, if it does not read {DEFAULT_VARIABLE}: relative to its "
        "folder, or absolute",
    )
    parser.add_argument(
        "--env",
        action="append",
        type=_argument(_variable),
        metavar="NAME=VALUE",
        help="environment variable of the script; may be given more than once",
    )
    parser.add_argument(
        "--limit",
        type=_argument(duration),
        default=DrillPlan.limit,
        metavar="DURATION",
        help="maximum duration of a run (default: 30m)",
    )
    parser.add_argument(
        "--references",
        type=int,
        default=DrillPlan.references,
        metavar="N",
        help="uninterrupted runs to compare with, 1 or 2; the second only if the first differs "
        "(default: 2)",
    )
