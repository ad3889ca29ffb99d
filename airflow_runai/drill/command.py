"""
The command line of the drill, for ``airflow runai drill`` and ``python -m airflow_runai.drill`` alike.

Knows arguments and exit codes. Everything that takes long to import is imported when a drill is
held.
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
The script runs on this machine, in a copy of its folder, and is told in {DEFAULT_VARIABLE} where to save. Exit code: 0
all checks passed, 1 one failed, 2 misuse (or a script that cannot run), 3 something could not be decided, 130
interrupted.
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """
    Add the drill's arguments to a parser; :func:`run` expects what it parses.

    :param parser: the parser of ``airflow runai drill``, or one of its own.
    """
    parser.description = (
        "Preempt a training script in an embedded Run:ai, and see whether it survives."
    )
    parser.epilog = _EPILOG
    parser.usage = f"{parser.prog} SCRIPT [options] [-- ARGUMENT ...]"
    _add_options(parser)
    # argparse takes no positionals behind options, and loses a -- behind the first one: _completed
    # reads the words.
    words = "the start-up script, as Run:ai would start it; behind --, what it is given"
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="SCRIPT", help=words)


def run(arguments: argparse.Namespace) -> int:
    """
    Hold the drill and print its report.

    :param arguments: what the parser of :func:`configure` made.
    :return: 0 all checks passed, 1 one failed, 2 misuse, 3 something could not be decided, 130
        interrupted.
    """
    try:
        with _ended_by_signals():
            return _hold(_completed(arguments))
    except DrillError as problem:
        for sentence in problem.problems:
            print(f"drill: {sentence}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("drill: interrupted; everything that it started was stopped", file=sys.stderr)
        return 130


def _hold(arguments: argparse.Namespace) -> int:
    plan = _plan(arguments)
    if arguments.report:
        _make(arguments.report)
    # Web server, HTTP client and formats: nobody shall wait for them who only asks for help.
    from airflow_runai.drill import report, whole_drill

    outcome = whole_drill.hold(plan, _say, arguments.report)
    if arguments.report:
        report.write(outcome, arguments.report)
    found = report.to_json(outcome)
    print(json.dumps(found, indent=1) if arguments.json else report.text(found))
    return outcome.exit_code


def _make(directory: Path) -> None:
    """Make the report's directory before anything runs for minutes."""
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DrillError(
            f"--report {directory}: {error.strerror}; give a directory that can be written"
        ) from None


def _say(line: str) -> None:
    print(f"drill: {line}", file=sys.stderr, flush=True)


@contextmanager
def _ended_by_signals() -> Iterator[None]:
    """Let SIGTERM, and a terminal that is closed, end a drill as Ctrl-C does: whatever it started is stopped."""
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup
        numbers.append(signal.SIGHUP)
    previous = {number: signal.signal(number, signal.default_int_handler) for number in numbers}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _completed(arguments: argparse.Namespace) -> argparse.Namespace:
    """Read the script and the options behind it; what follows ``--`` is the script's."""
    words = list(arguments.words)
    cut = words.index("--") if "--" in words else len(words)
    if not cut:
        raise DrillError("no script: give the path of the start-up script, such as ./startup.sh")
    arguments.script, arguments.arguments = Path(words[0]), words[cut + 1 :]
    parser = argparse.ArgumentParser(
        "drill", usage="drill SCRIPT [options] [-- ARGUMENT ...]", add_help=False
    )
    _add_options(parser)
    _, unknown = parser.parse_known_args(words[1:cut], arguments)
    if unknown:
        raise DrillError(
            f"{unknown[0]!r} is no option of the drill; what is meant for the script goes behind --"
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


def _argument(read: Callable[[str], Any]) -> Callable[[str], Any]:
    """Let argparse show the sentence of a ``ValueError`` instead of its own."""

    def convert(text: str) -> Any:
        try:
            return read(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ValueError(f"{text!r} is not NAME=VALUE, such as EPOCHS=3")
    return name, value


def _add_options(parser: argparse.ArgumentParser) -> None:
    seconds, defaults = _argument(duration), DrillPlan.__dataclass_fields__
    add = parser.add_argument
    add(
        "--preempt-after",
        type=seconds,
        default=defaults["preempt_after"].default,
        metavar="DURATION",
        help="preempt each start after so long, counted from when it handles SIGTERM (default: 20s)",
    )
    add(
        "--times",
        type=int,
        default=defaults["times"].default,
        metavar="N",
        help="how often (default: %(default)s)",
    )
    add(
        "--grace",
        type=seconds,
        default=defaults["grace"].default,
        metavar="DURATION",
        help="(default: 30s)",
    )
    add(
        "--checkpoints",
        metavar="DIR",
        help=f"where the script saves, if it is not told by {DEFAULT_VARIABLE}: relative to its folder, or absolute",
    )
    add(
        "--env",
        action="append",
        type=_argument(_variable),
        metavar="NAME=VALUE",
        help="variable; repeat",
    )
    add(
        "--rate",
        type=float,
        default=defaults["rate"].default,
        metavar="PER_DAY",
        help="for the cost (default: 10)",
    )
    add(
        "--limit",
        type=seconds,
        default=defaults["limit"].default,
        metavar="DURATION",
        help="of a run (default: 30m)",
    )
    add(
        "--references",
        type=int,
        default=defaults["references"].default,
        metavar="N",
        help="uninterrupted runs to compare with, 1 or 2; the second only if the first differs (default: 2)",
    )
    add(
        "--report",
        type=Path,
        metavar="DIR",
        help="write report.txt, drill.json, drill.svg and logs there",
    )
    add("--json", action="store_true", help="print JSON instead of the table")
