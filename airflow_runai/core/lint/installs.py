"""
Which packages an installing command names without a version; what cannot be known counts as named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from airflow_runai.core.lint.launchers import chain, program

_WITH_WORD = {
    *(
        "-r",
        "--requirement",
        "-c",
        "--constraint",
        "-e",
        "--editable",
        "-i",
        "--index-url",
        "--extra-index-url",
    ),
    *(
        "-f",
        "--find-links",
        "-t",
        "--target",
        "--prefix",
        "--root",
        "--platform",
        "--python-version",
        "--no-binary",
    ),
    *(
        "--only-binary",
        "--trusted-host",
        "--proxy",
        "--timeout",
        "--retries",
        "--log",
        "--cache-dir",
        "--src",
    ),
    *(
        "--upgrade-strategy",
        "--progress-bar",
        "--python",
        "-p",
        "-n",
        "--name",
        "--channel",
        "--file",
    ),
}
_BOUND = {"-c", "--constraint", "--no-index", "--require-hashes"}
#: What installs, and is no library of the training.
_TOOLS = {"pip", "setuptools", "wheel", "uv", "poetry", "pipenv", "pdm", "conda", "mamba"}
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(\[[^]]*\])?\s*(.*)", re.DOTALL)


def unpinned(words: Sequence[str], files: Mapping[str, str]) -> list[str]:
    """
    Return the names of packages without a version.

    :param words: of a command, without quotes.
    :param files: texts of the requirements files that are known, by name.
    """
    words = chain(words)[-1] if words else ()
    name, rest = program(words), list(words[1:])
    if re.fullmatch(r"python[\d.]*", name) and rest[:2] == ["-m", "pip"]:
        name, rest = "pip", rest[2:]
    if name == "uv" and rest[:1] == ["pip"]:
        name, rest = "pip", rest[1:]
    if re.fullmatch(r"pip[\d.]*", name) and rest[:1] == ["install"] and not _BOUND & set(rest):
        return list(_of_pip(rest[1:], files))
    if name in ("conda", "mamba", "micromamba") and rest[:1] == ["install"]:
        return [word for word in _named(rest[1:]) if _NAME.fullmatch(word) and word not in _TOOLS]
    return []


def _of_pip(words: list[str], files: Mapping[str, str]) -> Iterator[str]:
    for word in _named(words):
        yield from _loose(word)
    for option, value in pairwise(words):
        if option in ("-r", "--requirement"):
            for line in files.get(value.rpartition("/")[2], "").splitlines():
                yield from _loose(line.partition(" #")[0].partition(";")[0].strip())


def _named(words: list[str]) -> Iterator[str]:
    """Return the words that are neither options nor their values."""
    skip = False
    for word in words:
        if not skip and not word.startswith("-"):
            yield word
        skip = word in _WITH_WORD


def _loose(requirement: str) -> Iterator[str]:
    """Return the name in a requirement that lets another version in."""
    found = _REQUIREMENT.fullmatch(requirement)
    if not found or re.search(r"[/$@{]|\.(whl|zip|tar\.gz)$", requirement) or found[1] in _TOOLS:
        return
    exact = re.match(
        r"={2,3}\s*[^*\s]+$", found[3].partition(",")[0].partition(" --hash")[0].strip()
    )
    if not exact and (not found[3] or found[3][0] in "<>~!=,"):
        yield found[1]
