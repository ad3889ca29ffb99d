"""
Kinds of commands in a start-up script: those that prepare or print, install, replace, never end.

A command that does none of it, and that runs last, is taken for the training.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from airflow_runai.core.lint.launchers import chain, program
from airflow_runai.core.lint.shell import Command

#: Programs that are never the training.
_NAMES = """
    : . [ [[ alias apt apt-get awk aws az azcopy break cat cd chmod chown conda continue cp curl cut
    date df dirname du echo eval exit export false find free gcloud git grep gsutil hdfs head
    hostname id kill let ln local logger ls mamba mc micromamba mkdir module mount mv nvcc
    nvidia-smi pip pip3 popd printenv printf ps pushd pwd rclone read readonly return rm rsync s5cmd
    scp sed set shift shopt sleep sort source stat sync tail tar tee test touch tr trap true type
    ulimit umask uname unset unzip uv wait wget which whoami
"""
_QUICK = frozenset(_NAMES.split())
_QUICK_PYTHON = re.compile(
    r"-(c|V|-version|m (pip|venv|ensurepip|compileall|nltk\.downloader|spacy|site)\b).*"
)
_INSTALLS = re.compile(r"\b(install|sync|conda|mamba|micromamba|poetry|pipenv|pdm|uv|make)\b")
_SERVERS = ("tensorboard", "code-server", "jupyter-lab", "jupyter-notebook")
_FOLLOW = re.compile(r"-\w*[fF]\w*|--follow(=.*)?|--retry")
_DAYS = re.compile(r"inf(inity)?|[1-9]\d*d|[1-9]\d{5,}s?")


def is_quick(command: Command) -> bool:
    """Return whether a command prepares, prints or cleans up; a mere assignment does too."""
    words = command.plain
    if not words or words[0].startswith(("((", "-", "{")):
        return True
    if words[:2] in (("command", "-v"), ("command", "-V")):
        return True
    started = chain(words)[-1]
    name = program(started)
    if name in ("exec", "command"):
        return True  # with redirections only, exec opens files
    if name == "env":
        return len(words) == 1
    if not re.fullmatch(r"python[\d.]*", name):
        return name in _QUICK
    arguments = " ".join(started[1:]).replace("\n", " ")
    return bool(_QUICK_PYTHON.fullmatch(arguments))


def installs(command: Command) -> bool:
    """Return whether a command may install packages."""
    return bool(_INSTALLS.search(" ".join(command.plain)))


def is_exec(command: Command) -> bool:
    """Return whether a program takes the shell's place."""
    if command.plain[:1] != ("exec",) or is_quick(command):
        return False
    # In a pipeline or in the background it takes the place of a child.
    return not (command.piped or command.background)


def is_endless(command: Command) -> bool:
    """Return whether a program never ends by itself, or only after days."""
    words = chain(command.plain)[-1] if command.plain else ()
    name, options = program(words), words[1:]
    if name == "tail":
        return _follows(options)
    if name == "sleep":
        return any(map(_DAYS.fullmatch, options))
    if name == "jupyter":
        return options[:1] in (("lab",), ("notebook",), ("server",))
    return name in _SERVERS


def _follows(options: Sequence[str]) -> bool:
    # With --pid, tail ends with that process, such as a training in the background.
    return any(map(_FOLLOW.fullmatch, options)) and not any(
        option.startswith("--pid") for option in options
    )
