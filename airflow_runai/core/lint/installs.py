"""Packages that a command installs without a version; unknown versions count as given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise

from airflow_runai.core.lint.launchers import chain, program

_WITH_WORD_NAMES = """
    -r --requirement -c --constraint -e --editable -i --index-url --extra-index-url -f --find-links
    -t --target --prefix --root --platform --python-version --no-binary --only-binary --trusted-host
    --proxy --timeout --retries --log --cache-dir --src --upgrade-strategy --progress-bar --python
    -p -n --name --channel --file
"""
#: Options that take a word of their own.
_WITH_WORD = frozenset(_WITH_WORD_NAMES.split())
_REQUIREMENTS = ("-r", "--requirement")
_BOUND = {"-c", "--constraint", "--no-index", "--require-hashes"}
#: Installers, which the training does not import.
_TOOLS = {"pip", "setuptools", "wheel", "uv", "poetry", "pipenv", "pdm", "conda", "mamba"}
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
_EXACT = re.compile(r"={2,3}\s*[^*\s]+$")
#: A path, an address, a variable or a file.
_NO_NAME = re.compile(r"[/$@{]|\.(whl|zip|tar\.gz)$")
_REQUIREMENT = re.compile(r"([A-Za-z0-9][\w.-]*)\s*(\[[^]]*\])?\s*(.*)", re.DOTALL)


def unpinned(words: Sequence[str], files: Mapping[str, str]) -> list[str]:
    """
    Return the names of packages without a version.

    :param words: of a command, without quotes.
    :param files: texts of the requirements files that are known, by name.
    """
    line = chain(words)[-1] if words else ()
    installer, rest = _installer(program(line), list(line[1:]))
    if rest[:1] != ["install"]:
        return []
    # Constraints and hashes fix the versions of all packages.
    if installer == "pip" and _BOUND.isdisjoint(rest):
        return list(_of_pip(rest[1:], files))
    if installer not in ("conda", "mamba", "micromamba"):
        return []
    names = filter(_NAME.fullmatch, _positionals(rest[1:]))
    return [name for name in names if name not in _TOOLS]


def _installer(name: str, rest: list[str]) -> tuple[str, list[str]]:
    """Return pip for each way to call it, and the words behind it."""
    # python -m pip and uv pip install what pip would.
    if re.fullmatch(r"python[\d.]*", name) and rest[:2] == ["-m", "pip"]:
        return "pip", rest[2:]
    if name == "uv" and rest[:1] == ["pip"]:
        return "pip", rest[1:]
    return "pip" if re.fullmatch(r"pip[\d.]*", name) else name, rest


def _of_pip(words: list[str], files: Mapping[str, str]) -> Iterator[str]:
    for word in _positionals(words):
        yield from _unpinned_name(word)
    for option, value in pairwise(words):
        text = files.get(value.rpartition("/")[2], "") if option in _REQUIREMENTS else ""
        for line in text.splitlines():
            # A comment needs a blank in front: a "#" in an address belongs to it.
            yield from _unpinned_name(line.partition(" #")[0].partition(";")[0].strip())


def _positionals(words: list[str]) -> Iterator[str]:
    """Return the words that are neither options nor their values."""
    skip = False
    for word in words:
        if not skip and not word.startswith("-"):
            yield word
        skip = word in _WITH_WORD


def _unpinned_name(requirement: str) -> Iterator[str]:
    """Return the name in a requirement that allows several versions."""
    match = _REQUIREMENT.fullmatch(requirement)
    if not match or _NO_NAME.search(requirement):
        return
    name, _, condition = match.groups()
    version = condition.partition(",")[0].partition(" --hash")[0].strip()
    is_condition = not condition or condition[0] in "<>~!=,"
    if name not in _TOOLS and is_condition and not _EXACT.match(version):
        yield name
