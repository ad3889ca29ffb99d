"""
What lint says about preemptions in scripts, held against what a real shell makes of them.

Nothing of lint is asked here but its verdict. Stand-ins take the place of programs: a ``python``
that saves at SIGTERM, launchers that start it as the real ones do, a ``date`` that always moves on.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.core.test_lint_preemptions import (
    AT_END,
    BAD,
    DELETES,
    ENDLESS,
    FRESH,
    GOOD,
    HIDES,
    LEAVES,
    NO_EXEC,
    SUCCEEDS,
    SWALLOWS,
    WAITS,
)
from tests.support.waiting import outlasts_steps, wait_until

#: Notes what it was given and what it found, then trains until it is told to stop; or ends at once
#: with $ENDS.
PYTHON = """#!/bin/sh
case " $* " in *" pip "*|*" venv "*) exit 0;; esac
trap 'sleep 0.1; echo > "$NOTED.saved"; for d in $PLACES; do [ -d "$d" ] && echo > "$d/saved"; done; exit 143' TERM
echo "$* $CHECKPOINTS" > "$NOTED.args"
ls "$CHECKPOINTS" > "$NOTED.found" 2>/dev/null
mkdir -p "$TMP/out" "$TMP/run"
echo > "$NOTED"
[ -n "$ENDS" ] && exit "$ENDS"
while :; do sleep 0.02; done
"""
#: Starts a child and waits for it, SIGTERM unheard, as ``conda run`` does; in ``conda shell.bash``
#: it prints nothing.
CHILD = """#!/bin/bash
case "$1" in activate|shell.bash|install|config|info) exit 0;; run|launch) shift;; esac
while :; do case "$1" in
  -n|-p|--num_gpus|--num_processes) shift 2;; -*) shift;; *.py) set -- python "$@"; break;; *) break;; esac; done
"$@" &
wait $!
"""
#: Puts the program in its own place.
PLACE = CHILD.replace('"$@" &\nwait $!', 'exec "$@"')
PROGRAMS = {
    "python": PYTHON, "python3": PYTHON, "conda": CHILD, "pdm": CHILD, "deepspeed": CHILD, "xvfb-run": CHILD,
    "accelerate-launch": CHILD, "accelerate": CHILD, "mamba": CHILD, "micromamba": CHILD,
    "poetry": PLACE, "uv": PLACE, "torchrun": PYTHON, "mpirun": PYTHON,
    "date": '#!/bin/sh\\necho x >> "$NOTED.clock"\\nwc -l < "$NOTED.clock" | tr -d " "\\n',
    "uuidgen": "#!/bin/sh\\nexec date\\n",
    **dict.fromkeys(("pip", "aws", "nvidia-smi", "apt-get", "ds_report", "tensorboard"), "#!/bin/sh\\n"),
}  # fmt: skip
ENDLESS_BOARD = "#!/bin/sh\nexec sleep 1000\n"
UNHEARD = {NO_EXEC, LEAVES, SWALLOWS, WAITS}
CASES = {**BAD, **{name: (text, set[str]()) for name, text in GOOD.items()}}
#: They run what cannot be run here, or take turns that the stand-ins cannot show.
ELSEWHERE = {
    *("eval of what is not known", "eval of a variable first", "source of what is not known"),
    *("conda run by path", "conda run prepares", "behind conda.sh", "behind an activation"),
    *(
        "accelerate as a module",
        "accelerate, several processes",
        "accelerate, several GPUs",
        "accelerate, by a file",
    ),
    *(
        "accelerate, an open number",
        "a temporary folder",
        "until the file is there",
        "while with a break",
    ),
    "a notebook that ends",
}
RUN = {name: case for name, case in CASES.items() if name not in ELSEWHERE}
SIGNALS = {
    name: case
    for name, case in RUN.items()
    if case[1] & {*UNHEARD, SUCCEEDS}
    or re.search("trap|run |launch|eval|-c|wait|mpirun|torchrun|tail|tensorb", case[0])
}
ENDS = {
    name: case
    for name, case in RUN.items()
    if ENDLESS in case[1] or "sleep" in case[0] or "while" in case[0]
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with ``bin``, ``tmp`` and ``shared``, in which a checkpoint lies."""
    for name in (
        "bin",
        "tmp",
        "shared/checkpoints",
        "shared/run",
        "shared/run/a",
        "shared/run/ckpt",
        "shared/runs",
    ):
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        for checkpoint in ("step-1", "last.pt", "checkpoint-1"):
            (tmp_path / name / checkpoint).touch()
    for name, text in PROGRAMS.items():
        program = tmp_path / "bin" / name
        program.write_text(text.replace("\\n", "\n") if "\\n" in text else text)
        program.chmod(0o755)
    return tmp_path


def start(folder: Path, text: str, shell: str = "bash", **more: str) -> subprocess.Popen[bytes]:
    """Start a script as process 1 of a group; ``/tmp`` and ``/shared`` are in its folder."""
    script = folder / "startup.sh"
    script.write_text(re.sub(r"(?<![\w}/])/(tmp|shared)\b", rf"{folder}/\1", text))
    environment = {
        "PATH": f"{folder}/bin:{os.environ['PATH']}",
        "NOTED": str(folder / "noted"),
        "TMP": str(folder / "tmp"),
        "PLACES": f"{folder}/tmp/out {folder}/tmp/run",
        "CHECKPOINTS": str(folder / "shared" / "checkpoints"),
        "CKPT_DIR": str(folder / "shared" / "checkpoints"),
        **more,
    }
    options = ["-e"] if text.startswith(("#!/bin/sh -e", "#!/bin/bash -e")) else []
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        [str(shutil.which(shell)), *options, str(script), "train.py"],
        cwd=folder, env=environment, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True,
    )  # fmt: skip


@contextlib.contextmanager
def running(
    folder: Path, text: str, shell: str = "bash", **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    process = start(folder, text, shell, **more)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def shells(text: str) -> list[str]:
    """The shells that can run it; dash knows less."""
    of_bash = re.search(r"\[\[|\(\(|source |<\(|>\(|RANDOM|pipefail|function |SIGTERM", text)
    return ["bash"] if of_bash or shutil.which("dash") is None else ["bash", "dash"]


#: dash agrees with bash wherever it can read a script; that is asked in ``make qualify``.
SIGNALLED = [
    pytest.param(
        name, shell, marks=[pytest.mark.qualify] if shell == "dash" else [], id=f"{name}-{shell}"
    )
    for name, (text, _) in SIGNALS.items()
    for shell in shells(text)
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "shell"), SIGNALLED)
def test_a_shell_agrees_on_who_hears_sigterm(folder: Path, name: str, shell: str) -> None:
    text, codes = SIGNALS[name]
    unheard = bool(codes & UNHEARD)
    with running(folder, text, shell) as process:
        wait_until((folder / "noted").exists, "the training was started")
        os.kill(process.pid, signal.SIGTERM)  # to process 1 only, as a platform does
        if unheard:
            outlasts_steps(process)  # that it never ends can only be seen by waiting
        else:
            process.wait()
        saved = process.poll() is not None and (folder / "noted.saved").exists()
        code = process.poll()
    assert saved is not unheard
    assert code != 0 or codes & {SUCCEEDS, HIDES}
    assert code == 0 or SUCCEEDS not in codes or "EXIT" in text


@pytest.mark.slow
@pytest.mark.parametrize("name", RUN)
def test_a_shell_agrees_on_failures(folder: Path, name: str) -> None:
    text, codes = RUN[name]
    if ENDLESS in codes:
        return
    with running(folder, text, ENDS="3") as process:
        ended = process.wait()
    hidden = bool({HIDES} & codes) or (SUCCEEDS in codes and "EXIT" in text)
    assert (ended == 0) is hidden, ended


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDS)
def test_a_shell_agrees_on_what_never_ends(folder: Path, name: str) -> None:
    text, codes = ENDS[name]
    (folder / "bin" / "tensorboard").write_text(ENDLESS_BOARD)
    endless = []
    for code in ("0", "3"):
        with running(folder, text, ENDS=code) as process:
            wait_until((folder / "noted").exists, "the training was started")
            if ENDLESS in codes:
                outlasts_steps(process)
            else:
                process.wait()
            endless.append(process.poll() is None)
    assert any(endless) is (ENDLESS in codes)


PROGRESS = {
    name: case
    for name, case in RUN.items()
    if case[1] & {DELETES, FRESH} or name.startswith(("rm", "a time"))
}


@pytest.mark.parametrize("name", PROGRESS)
def test_a_shell_agrees_on_what_is_left_for_the_next_start(folder: Path, name: str) -> None:
    text, codes = PROGRESS[name]
    seen = []
    for _ in range(2):
        with running(folder, text, ENDS="3") as process:
            process.wait()
        seen.append((folder / "noted.args").read_text())
    # Of folders only checkpoints count: the others may be logs and results.
    places = [re.findall(r"\S*(?:ckpt|checkpoint|shared/\d|shared/run)\S*", told) for told in seen]
    left = all(
        (folder / "shared" / place / checkpoint).exists()
        for place in ("checkpoints", "run")
        for checkpoint in ("step-1", "last.pt", "checkpoint-1")
    )
    assert left is (DELETES not in codes)
    assert (places[0] == places[1]) is (
        FRESH not in codes and "beside" not in name and "as a default" not in name
    )


KEPT = {name: case for name, case in RUN.items() if AT_END in case[1] or name == "copied meanwhile"}


@pytest.mark.parametrize("name", KEPT)
def test_a_shell_agrees_on_what_is_kept(folder: Path, name: str) -> None:
    text, codes = KEPT[name]
    rsync = '#!/bin/sh\nfor last; do :; done\nshift $(($# - 2))\nmkdir -p "$last" && cp -r "$1." "$last"\n'
    (folder / "bin" / "rsync").write_text(rsync)
    (folder / "bin" / "rsync").chmod(0o755)
    with running(folder, text) as process:
        wait_until((folder / "noted").exists, "the training was started")
        os.kill(process.pid, signal.SIGTERM)
        if codes:
            outlasts_steps(process)
        else:
            process.wait()
    assert any((folder / "shared").rglob("saved")) is (AT_END not in codes)
