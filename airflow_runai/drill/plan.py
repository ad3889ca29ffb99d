"""
The plan of a drill, checked before anything runs.

All mistakes are reported at once. Only the first bytes of the script are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from airflow_runai.core.environment import Environment
from airflow_runai.errors import InvalidArgument

#: Environment variable that names the directory for checkpoints, as in ``dags/digits``.
DEFAULT_VARIABLE = "CHECKPOINTS"

_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_MAX_TIMES = 100
#: First bytes of what a kernel can start: scripts, ELF, Mach-O (one or several architectures).
_EXECUTABLE = (b"#!", b"\x7fELF", b"\xcf\xfa\xed\xfe", b"\xca\xfe\xba\xbe")


class DrillError(InvalidArgument):
    """A drill cannot be held: a wrong argument, or a script that cannot run at all."""

    def __init__(self, *problems: str) -> None:
        super().__init__(problems)


@dataclass(frozen=True)
class DrillPlan:
    """
    One drill. All times are seconds.

    :param script: the executable that Run:ai would start.
    :param arguments: of the script.
    :param preempt_after: how long each start may run, from the moment it handles SIGTERM, before it
        is preempted.
    :param times: number of preemptions, 1 to 100.
    :param grace: from SIGTERM to SIGKILL.
    :param checkpoints: where the script saves: relative to its folder, or an absolute path that its
        arguments or variables name; by default a directory that the variable ``CHECKPOINTS`` names.
    :param environment: further variables.
    :param references: uninterrupted runs to compare with, 1 or 2; the second is only held if the
        first differs, to tell lost state from chance.
    :param limit: maximum duration of one run; a longer one is stopped.
    :param rate: preemptions a day, for the cost.
    :raises DrillError: with everything that is wrong.
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
        problems = [
            *_script_problems(self.script),
            *_number_problems(self),
            *_checkpoints_problems(self),
        ]
        try:
            Environment()(dict(self.environment))
        except ValueError as error:
            problems.append(f"--env: {error}")
        if problems:
            raise DrillError(*problems)

    @property
    def folder(self) -> Path:
        """The script's folder, of which the drill works on a copy."""
        return self.script.absolute().parent

    @property
    def saves_inside(self) -> PurePosixPath | None:
        """Where it saves below its own folder; ``None`` if that is elsewhere."""
        if self.checkpoints is None:
            return None
        # By its text: a link in the folder is one in the copy, too.
        path = Path(os.path.normpath(self.folder / self.checkpoints))
        if not path.is_relative_to(self.folder):
            return None
        return PurePosixPath(path.relative_to(self.folder))


def duration(text: str) -> float:
    """
    Read a duration such as ``500ms``, ``20s``, ``2m`` or ``1.5h``, in seconds.

    :raises ValueError: for anything else, or a duration of 0.
    """
    match = _DURATION.fullmatch(text.strip())
    seconds = float(match[1]) * _UNITS[match[2]] if match else 0.0
    if not seconds:
        raise ValueError(
            f"{text!r} is not a duration; allowed: a number above 0 with ms, s, m or h, such as "
            "20s or 1.5h"
        )
    return seconds


def _script_problems(script: Path) -> Iterator[str]:
    place = f"script {script}"
    if not script.exists():
        yield f"{place}: does not exist; give the path of the start-up script"
    elif not script.is_file():
        yield f"{place}: is not a file; give the path of the start-up script"
    # The kernel needs x, the program behind #! needs r.
    elif not os.access(script, os.R_OK | os.X_OK):
        remedy = f"chmod +x {script.name}"
        yield f"{place}: is not executable, so that Run:ai could not start it either; {remedy}"
    # Without it, the kernel refuses the script: exec format error.
    elif not _first_bytes(script).startswith(_EXECUTABLE):
        remedy = "make #!/bin/sh its first line"
        yield f"{place}: does not begin with #!, which names the program that runs it; {remedy}"


def _first_bytes(script: Path) -> bytes:
    with script.open("rb") as file:
        return file.read(4)


def _number_problems(plan: DrillPlan) -> Iterator[str]:
    if not 1 <= plan.times <= _MAX_TIMES:
        yield (
            f"--times: {plan.times} is not in 1..{_MAX_TIMES}; a drill without a preemption shows "
            "nothing"
        )
    if not 1 <= plan.references <= 2:
        yield f"--references: {plan.references} is neither 1 nor 2"
    if not 0 <= plan.rate < float("inf"):
        yield f"--rate: {plan.rate:g} is not a number of preemptions a day; use 0 or more"
    if plan.limit <= plan.preempt_after:
        yield (
            f"--limit: {plan.limit:g} s for a run is over before the first preemption at "
            f"{plan.preempt_after:g} s; use a longer one, or a shorter --preempt-after"
        )


def _checkpoints_problems(plan: DrillPlan) -> Iterator[str]:
    path, inside = plan.checkpoints, plan.saves_inside
    if path is None or inside not in (None, PurePosixPath(".")):
        return
    place = f"--checkpoints: {path!r}"
    if inside is not None or Path(path) == Path("/"):
        yield f"{place} is all of the folder; give a directory of its own for checkpoints"
    elif not Path(path).is_absolute():
        yield f"{place} leads out of the script's folder; give a path below it, or an absolute one"
    # A path that an argument or a variable names is replaced there by a temporary directory.
    elif not _is_named(path.rstrip("/"), plan):
        yield (
            f"{place} lies outside of the script's folder, and no argument or --env names it: the "
            "drill could not turn it into a temporary directory; let the script take it from "
            f"${DEFAULT_VARIABLE}, an argument (behind --) or a variable"
        )


def _is_named(path: str, plan: DrillPlan) -> bool:
    return any(path in value for value in (*plan.arguments, *plan.environment.values()))
