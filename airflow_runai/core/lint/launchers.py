"""
Programs that start another one: which one that is, and whether it would hear of a SIGTERM.

Who starts a program in its own place (``exec``, ``env``, ``poetry run``), or passes signals on
(``timeout``, ``torchrun``, ``uv run``), is no obstacle. Who starts a child, waits for it and keeps
SIGTERM to itself is; only those are named here of which that is known.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

#: They start what their words say. Value: options that take a word of their own.
_WRAPPERS = {
    "exec": {"-a"},
    "command": set(),
    "env": {"-u", "--unset", "-C", "--chdir"},
    "nice": {"-n", "--adjustment"},
    "ionice": {"-c", "-n", "--class", "--classdata"},
    "nohup": set(),
    "setsid": set(),
    "stdbuf": {"-i", "-o", "-e"},
    "time": {"-f", "-o"},
    "timeout": {"-k", "-s", "--kill-after", "--signal"},
    "numactl": {"-N", "-m", "-C", "-i"},
    "taskset": set(),
    "chrt": set(),
    "xvfb-run": {"-n", "-s", "-e", "-f", "--server-num", "--server-args"},
    "catchsegv": set(),
    "gosu": set(),
}
#: A word that some of them take before the program: a time, a mask, a user.
_OWN_WORD = {
    "timeout": r"[\d.]+[smhd]?",
    "taskset": r"(0x)?[\da-fA-F,-]+",
    "chrt": r"\d+",
    "gosu": r".+",
}
#: ``conda run [options] PROGRAM``; options that take a word of their own.
_RUNNERS = {
    "conda": {"-n", "--name", "-p", "--prefix", "--cwd"},
    "mamba": {"-n", "--name", "-p", "--prefix", "--cwd"},
    "micromamba": {"-n", "--name", "-p", "--prefix", "--cwd", "-r", "--root-prefix", "-e", "--env"},
    "uv": {
        "--with",
        "--python",
        "-p",
        "--extra",
        "--group",
        "--project",
        "--directory",
        "--env-file",
    },
    "poetry": {"-C", "--directory", "-P", "--project"},
    "pdm": {"-p", "--project", "-s", "--site-packages"},
    "pipenv": set(),
    "hatch": {"-e", "--env"},
    "pixi": {"-e", "--environment", "--manifest-path"},
}
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_SHELL = re.compile(r"(ba|da|z|k|a)?sh")
_SEVERAL = re.compile(
    r"--(multi_gpu|multi-gpu|tpu|use_deepspeed|use_fsdp|use_megatron_lm|use_mps_device|config_file|config-file|"
    r"num_machines|num-machines|mpirun_hostfile|fsdp.*|deepspeed.*)(=.*)?"
)
_PROCESSES = re.compile(r"--num[_-]processes(?:=(.*))?")


@dataclass(frozen=True)
class Swallows:
    """
    A program that keeps SIGTERM from the one that it starts.

    :param instead: what to write.
    """

    name: str
    instead: str


_CONDA = Swallows(
    "conda run",
    "activate the environment first (. /opt/conda/bin/activate NAME), then exec python …",
)
_PDM = Swallows("pdm run", "exec .venv/bin/python …")
_XVFB = Swallows("xvfb-run", "start Xvfb with &, export DISPLAY, then exec python …")
_ACCELERATE = Swallows(
    "accelerate launch with one process", "exec python …, which is the same for one process"
)
_DEEPSPEED = Swallows("deepspeed", "exec torchrun --nproc_per_node … train.py --deepspeed …")


def chain(words: Sequence[str]) -> list[tuple[str, ...]]:
    """
    Return the command lines within a command line: as it is, then what that starts, and so on.

    :param words: without quotes, from the first program or assignment on.
    """
    found: list[tuple[str, ...]] = []
    rest: tuple[str, ...] | None = tuple(words)
    while rest:
        while rest and _ASSIGNED.fullmatch(rest[0]):
            rest = rest[1:]
        found += [rest] if rest else []
        rest = _started(rest) if rest else None
    return found


def program(words: Sequence[str]) -> str:
    """Return the name of the program of a command line, without its folder."""
    return words[0].rpartition("/")[2] if words else ""


def _started(words: tuple[str, ...]) -> tuple[str, ...] | None:
    name = program(words)
    if name in _WRAPPERS:
        return _behind(words[1:], _WRAPPERS[name], _OWN_WORD.get(name))
    if name in _RUNNERS and "run" in words[1:4]:
        return _behind(words[words.index("run") + 1 :], _RUNNERS[name], None)
    return None


def _behind(words: tuple[str, ...], with_word: set[str], own: str | None) -> tuple[str, ...] | None:
    at = 0
    while at < len(words) and words[at].startswith("-"):
        if words[at] == "--":
            at += 1
            break
        at += 2 if words[at] in with_word else 1
    if own and at < len(words) and re.fullmatch(own, words[at]):
        at += 1
    return words[at:] or None


def swallows(words: Sequence[str], gpus: float | None = None) -> Swallows | None:
    """
    Return the first program in a command line that keeps SIGTERM to itself; ``None`` if none is known to.

    :param gpus: of the pod, if known: without other words ``accelerate`` starts one process for
        each.
    """
    for line in chain(words):
        name, rest = program(line), line[1:]
        if name == "conda" and "run" in rest[:3]:
            return _CONDA
        if name == "pdm" and "run" in rest[:3]:
            return _PDM
        if name == "xvfb-run":
            return _XVFB
        if name == "deepspeed" and any(not word.startswith("-") for word in rest):
            return _DEEPSPEED
        if _launches_one(name, rest, gpus):
            return _ACCELERATE
    return None


def _launches_one(name: str, rest: Sequence[str], gpus: float | None) -> bool:
    """Whether it is ``accelerate launch`` for one process, which is then a mere child; more are torchrun's."""
    if re.fullmatch(r"python[\d.]*", name) and tuple(rest[:2]) == (
        "-m",
        "accelerate.commands.launch",
    ):
        rest = rest[2:]
    elif name == "accelerate" and tuple(rest[:1]) == ("launch",):
        rest = rest[1:]
    elif name != "accelerate-launch":
        return False
    for word, after in zip(rest, [*rest, ""][1:], strict=True):
        count = _PROCESSES.fullmatch(word)
        if count:
            return (count[1] or after) == "1"
    return (gpus is None or gpus <= 1) and not any(_SEVERAL.fullmatch(word) for word in rest)


def inline(words: Sequence[str]) -> str | None:
    """Return the script in ``sh -c SCRIPT``, as it stands; ``None`` if it is something else."""
    last = chain(words)[-1:]
    if not last or not _SHELL.fullmatch(program(last[0])):
        return None
    for at, word in enumerate(last[0][1:], 1):
        if not word.startswith("-"):
            return None
        if not word.startswith("--") and word.endswith("c"):
            return last[0][at + 1] if at + 1 < len(last[0]) else None
    return None
