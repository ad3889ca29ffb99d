"""
What a drill is asked to do, checked before anything runs.

All mistakes are told at once. Reads the first bytes of the script and nothing else.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from airflow_runai.core.environment import environment
from airflow_runai.errors import RunaiError

__all__ = ["DEFAULT_VARIABLE", "DrillProblem", "Plan", "duration"]

DEFAULT_VARIABLE = "CHECKPOINTS"
"""
The environment variable that tells a script where its checkpoints belong, as in ``dags/digits``.
"""

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_MOST_TIMES = 100


class DrillProblem(RunaiError, ValueError):
    """
    A drill cannot be held as asked: a wrong argument, or a script that cannot be run at all.

    :param problems: sentences of the form ``place: found; allowed; what to do``.
    """

    def __init__(self, *problems: str) -> None:
        self.problems = problems
        super().__init__("\n".join(problems))


@dataclass(frozen=True)
class Plan:
    """
    One drill. All times are seconds.

    :param script: the executable that Run:ai would start.
    :param arguments: what the script is given.
    :param preempt_after: how long each start may run, from the moment it handles SIGTERM, before it
        is preempted.
    :param times: how often it is preempted, 1 to 100.
    :param grace: from SIGTERM to SIGKILL.
    :param checkpoints: where the script saves: relative to its folder, or an absolute path that its
        arguments or variables name; by default a directory that the variable ``CHECKPOINTS`` tells
        it.
    :param environment: further variables.
    :param references: how many uninterrupted runs to compare with at most; the second is only held
        if the first differs, to tell lost state from chance.
    :param limit: how long one run may take in all; what runs longer is stopped.
    :param rate: preemptions a day, for the cost.
    :raises DrillProblem: with everything that is wrong.
    """

    script: Path
    arguments: Sequence[str] = ()
    preempt_after: float = 20.0
    times: int = 3
    grace: float = 30.0
    checkpoints: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    references: int = 2
    limit: float = 1800.0
    rate: float = 10.0

    def __post_init__(self) -> None:
        problems = [*_script_problems(self.script), *_number_problems(self), *_place_problems(self)]
        try:
            environment(dict(self.environment))
        except ValueError as error:
            problems.append(f"--env: {error}")
        if problems:
            raise DrillProblem(*problems)

    @property
    def folder(self) -> Path:
        """The script's folder, of which the drill works on a copy."""
        return self.script.absolute().parent

    @property
    def saves_inside(self) -> PurePosixPath | None:
        """Where it saves below its own folder; ``None`` if that is elsewhere."""
        if self.checkpoints is None:
            return None
        inside = Path(os.path.normpath(self.folder / self.checkpoints))
        return (
            PurePosixPath(inside.relative_to(self.folder))
            if inside.is_relative_to(self.folder)
            else None
        )


def duration(text: str) -> float:
    """
    Read a duration such as ``500ms``, ``20s``, ``2m`` or ``1.5h``, in seconds.

    :raises ValueError: for anything else, or a duration of nothing.
    """
    found = _DURATION.fullmatch(text.strip())
    seconds = float(found[1]) * _UNITS[found[2]] if found else 0.0
    if not seconds:
        raise ValueError(
            f"{text!r} is no duration; allowed: a number above 0 with ms, s, m or h, such as 20s or 1.5h"
        )
    return seconds


def _script_problems(script: Path) -> Iterator[str]:
    if not script.exists():
        yield f"script {script}: does not exist; give the path of the start-up script"
    elif not script.is_file():
        yield f"script {script}: is no file; give the path of the start-up script"
    elif not os.access(script, os.R_OK | os.X_OK):
        yield f"script {script}: is not executable, so that Run:ai could not start it either; chmod +x {script.name}"
    elif not _first_bytes(script).startswith(
        (b"#!", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")
    ):
        yield f"script {script}: does not begin with #!, so nobody knows what runs it; make #!/bin/sh its first line"


def _first_bytes(script: Path) -> bytes:
    with script.open("rb") as file:
        return file.read(4)


def _number_problems(plan: Plan) -> Iterator[str]:
    if not 1 <= plan.times <= _MOST_TIMES:
        yield f"--times: {plan.times} is not in 1..{_MOST_TIMES}; a drill without a preemption shows nothing"
    if not 1 <= plan.references <= 2:
        yield f"--references: {plan.references} is neither 1 nor 2"
    if not 0 <= plan.rate < float("inf"):
        yield f"--rate: {plan.rate:g} is no number of preemptions a day; use 0 or more"
    if plan.limit <= plan.preempt_after:
        yield (
            f"--limit: {plan.limit:g} s for a run is over before the first preemption at {plan.preempt_after:g} s; "
            "use a longer one, or a shorter --preempt-after"
        )


def _place_problems(plan: Plan) -> Iterator[str]:
    told = plan.checkpoints
    if told is None or plan.saves_inside not in (None, PurePosixPath(".")):
        return
    if plan.saves_inside is not None or Path(told) == Path("/"):
        yield f"--checkpoints: {told!r} is all of the folder; give a directory of its own for checkpoints"
    elif not Path(told).is_absolute():
        yield f"--checkpoints: {told!r} leads out of the script's folder; give a path below it, or an absolute one"
    elif not any(
        told.rstrip("/") in word for word in (*plan.arguments, *plan.environment.values())
    ):
        yield (
            f"--checkpoints: {told!r} lies outside of the script's folder, and no argument or --env names it: the "
            f"drill could not turn it into a temporary directory; let the script take it from ${DEFAULT_VARIABLE}, an "
            "argument (behind --) or a variable"
        )
