"""
Programs that start another one, and whether that gets a SIGTERM.

A program is no obstacle if it starts the other in its own place (``exec``, ``env``, ``poetry run``)
or passes signals on (``timeout``, ``torchrun``, ``uv run``). It is one if it starts a child, waits
for it and keeps SIGTERM to itself; only programs known to do so are listed here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

#: Programs that start the one behind their options. Value: options that take a word.
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
#: A word that some take before the program: a time, a mask, a user.
_OWN_WORD = {
    "timeout": r"[\d.]+[smhd]?",
    "taskset": r"(0x)?[\da-fA-F,-]+",
    "chrt": r"\d+",
    "gosu": r".+",
}
_UV_OPTIONS = "--with --python -p --extra --group --project --directory --env-file"
#: ``conda run [options] PROGRAM``. Value: options that take a word.
_RUNNERS = {
    "conda": {"-n", "--name", "-p", "--prefix", "--cwd"},
    "mamba": {"-n", "--name", "-p", "--prefix", "--cwd"},
    "micromamba": {"-n", "--name", "-p", "--prefix", "--cwd", "-r", "--root-prefix", "-e", "--env"},
    "uv": set(_UV_OPTIONS.split()),
    "poetry": {"-C", "--directory", "-P", "--project"},
    "pdm": {"-p", "--project", "-s", "--site-packages"},
    "pipenv": set(),
    "hatch": {"-e", "--env"},
    "pixi": {"-e", "--environment", "--manifest-path"},
}
_ASSIGNED = re.compile(r"[A-Za-z_]\w*=.*", re.DOTALL)
_SHELL = re.compile(r"(ba|da|z|k|a)?sh")
#: Options of ``accelerate`` with which it hands over to torchrun, DeepSpeed or others.
_SEVERAL = re.compile(
    r"--(multi_gpu|multi-gpu|tpu|use_deepspeed|use_fsdp|use_megatron_lm|use_mps_device|"
    r"config_file|config-file|num_machines|num-machines|mpirun_hostfile|fsdp.*|deepspeed.*)(=.*)?"
)
_PROCESSES = re.compile(r"--num[_-]processes(?:=(.*))?")


@dataclass(frozen=True)
class Swallows:
    """
    A program that keeps SIGTERM from the one that it starts.

    :param instead: the remedy.
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


_SWALLOWING_RUNNERS = {"conda": _CONDA, "pdm": _PDM}


def chain(words: Sequence[str]) -> list[tuple[str, ...]]:
    """
    Return the command lines within a command line: itself, the one that it starts, and so on.

    :param words: without quotes, from the first program or assignment on.
    """
    lines: list[tuple[str, ...]] = []
    line = tuple(words)
    while line:
        if _ASSIGNED.fullmatch(line[0]):
            line = line[1:]
        else:
            lines.append(line)
            line = _started(line)
    return lines


def program(words: Sequence[str]) -> str:
    """Return the name of the program of a command line, without its folder."""
    return words[0].rpartition("/")[2] if words else ""


def _started(words: tuple[str, ...]) -> tuple[str, ...]:
    name = program(words)
    if name in _WRAPPERS:
        return _behind_options(words[1:], _WRAPPERS[name], _OWN_WORD.get(name))
    if name in _RUNNERS and "run" in words[1:4]:
        return _behind_options(words[words.index("run") + 1 :], _RUNNERS[name], None)
    return ()


def _behind_options(
    words: tuple[str, ...], with_word: set[str], own_word: str | None
) -> tuple[str, ...]:
    index = 0
    while index < len(words) and words[index].startswith("-"):
        if words[index] == "--":
            index += 1
            break
        index += 2 if words[index] in with_word else 1
    if own_word and index < len(words) and re.fullmatch(own_word, words[index]):
        index += 1
    return words[index:]


def swallows(words: Sequence[str], gpus: float | None = None) -> Swallows | None:
    """
    Return the first program in a command line that keeps SIGTERM to itself, if one is known to.

    :param gpus: of the pod, if known: by default ``accelerate`` starts one process for each.
    """
    for line in chain(words):
        name, arguments = program(line), line[1:]
        if name in _SWALLOWING_RUNNERS and "run" in arguments[:3]:
            return _SWALLOWING_RUNNERS[name]
        if name == "xvfb-run":
            return _XVFB
        # Without a script, as in "deepspeed --version", it starts nothing.
        if name == "deepspeed" and any(not word.startswith("-") for word in arguments):
            return _DEEPSPEED
        if _launches_one(name, arguments, gpus):
            return _ACCELERATE
    return None


def _launches_one(name: str, arguments: Sequence[str], gpus: float | None) -> bool:
    """Return whether it is ``accelerate launch`` for one process; more are torchrun's."""
    options = _options_of_accelerate(name, tuple(arguments))
    if options is None:
        return False
    for word, following in pairwise([*options, ""]):
        count = _PROCESSES.fullmatch(word)
        if count:
            return (count[1] or following) == "1"
    # One process for each GPU is the default, and torchrun starts several.
    if gpus is not None and gpus > 1:
        return False
    return not any(map(_SEVERAL.fullmatch, options))


def _options_of_accelerate(name: str, arguments: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return what follows ``accelerate launch`` in one of its spellings."""
    if name == "accelerate-launch":
        return arguments
    if name == "accelerate" and arguments[:1] == ("launch",):
        return arguments[1:]
    as_module = ("-m", "accelerate.commands.launch")
    if re.fullmatch(r"python[\d.]*", name) and arguments[:2] == as_module:
        return arguments[2:]
    return None


def inline(words: Sequence[str]) -> str | None:
    """Return the script in ``sh -c SCRIPT``, as written; ``None`` if it is another command."""
    lines = chain(words)
    if not lines or not _SHELL.fullmatch(program(lines[-1])):
        return None
    for word, following in pairwise([*lines[-1][1:], None]):
        if word is None or not word.startswith("-"):
            return None
        # -c may end a bundle of short options, as in "bash -lc".
        if not word.startswith("--") and word.endswith("c"):
            return following
    return None
