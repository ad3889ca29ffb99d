"""
What is said about scripts is held against what a real shell does with them.

A stand-in for ``python`` notes its arguments and fails. A script whose failure is hidden ends with
0 all the same; one that drops or splits arguments hands on others than it was given; one that keeps
SIGTERM to itself, or leaves early, has ended (or not) without the training having saved.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

from tests.core.test_lint_scripts import CASES, Case
from tests.support.waiting import outlasts_steps, wait_until

STAND_IN = '#!/bin/sh\nprintf "%s\\n" "$@" > "$NOTED"\nexit 3\n'
SAVES = """#!/bin/sh
trap 'sleep 0.1; echo > "$NOTED.saved"; exit 143' TERM
echo > "$NOTED"
while :; do sleep 0.02; done
"""
GIVEN = ["train.py", "two words", "*", "--lr=0.1"]
#: They run something else than a training, nothing, or another file; or they end before the
#: training does.
ELSEWHERE = {
    "runs what it is given",
    "another file decides",
    "hands over to another script",
    "exec in a case",
    "only prepares",
    "another language",
    "cannot be read",
    "empty",
    "Windows",
    "background without wait",
}
#: They take some of the arguments for themselves, as their authors wanted.
PICKS = {
    "positional arguments by hand",
    "inside a substitution",
    "quotes within quotes",
    "the rest of the arguments",
}
#: Nothing is said about them, because it depends: on a branch, a variable, or on what the training
#: looks at.
UNDECIDED = {
    "exec in one branch: undecided",
    "trap whose action is not known",
    "trap that leaves a mark",
}
UNHEARD = {
    "script-no-exec",
    "script-trap-waits",
    "script-leaves-early",
    "script-ignores-sigterm",
    "script-trap-recurses",
}
RUN = {name: case for name, case in CASES.items() if name not in ELSEWHERE}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose ``bin`` has a failing ``python`` and programs that do nothing."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("python", "torchrun"):
        (programs / name).write_text(STAND_IN)
    for name in ("pip", "tensorboard"):
        (programs / name).write_text("#!/bin/sh\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    (tmp_path / "another file").touch()  # a star without quotes finds it
    return tmp_path


def start(folder: Path, case: Case) -> subprocess.Popen[bytes]:
    script = folder / "startup.sh"
    script.write_text(case.text.replace("/code", str(folder)).replace("/tmp/", f"{folder}/"))
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "NOTED": str(folder / "noted"),
        "MODE": "a",
    }
    options = ["-e"] if case.text.startswith("#!/bin/sh -e") else []
    command = [str(shutil.which("bash")), *options, str(script), *GIVEN]
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdin=quiet,
        stdout=quiet,
        stderr=quiet,
        start_new_session=True,
    )


def sleeps(pid: int) -> bool:
    """Tell whether a process waits for something, or has ended, instead of taking its next step."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "SZ"


@pytest.mark.slow
@pytest.mark.parametrize(("name", "case"), RUN.items(), ids=RUN.keys())
def test_a_shell_agrees_on_failures_and_arguments(folder: Path, name: str, case: Case) -> None:
    codes = {code for code, _ in case.codes}
    assert (start(folder, case).wait() == 0) is ("script-hides-failure" in codes)
    arrived = (folder / "noted").read_text().splitlines()
    if name not in PICKS:
        whole = arrived[-len(GIVEN) :] == GIVEN
        assert whole is not bool(codes & {"script-drops-arguments", "script-splits-arguments"}), (
            arrived
        )


#: One plain script that ends in exec stands for all of them.
SHAPES = ("trap", "if ", "main", "&", "|", "tee", "-e")
SIGNALLED = {
    name: case
    for name, case in RUN.items()
    if name not in UNDECIDED
    and ("exec" not in case.text or any(shape in case.text for shape in SHAPES))
}


@pytest.mark.slow
@pytest.mark.parametrize("case", SIGNALLED.values(), ids=SIGNALLED.keys())
def test_a_shell_agrees_on_who_hears_sigterm(folder: Path, case: Case) -> None:
    unheard = bool({code for code, _ in case.codes} & UNHEARD)
    for name in ("python", "torchrun"):
        (folder / "bin" / name).write_text(SAVES)
    shell = start(folder, case)
    try:
        wait_until((folder / "noted").exists, "the training was started")
        # The training may be there before its shell has noted which process it is.
        wait_until(lambda: sleeps(shell.pid), "process 1 waits, too")
        os.kill(shell.pid, signal.SIGTERM)  # to process 1 only, as a platform does
        if unheard:
            outlasts_steps(shell)  # that it never ends can only be seen by waiting
        else:
            shell.wait()
        # When process 1 has ended, the container ends: what is saved later is not saved.
        saved = shell.poll() is not None and (folder / "noted.saved").exists()
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
        shell.wait()
    assert saved is not unheard
