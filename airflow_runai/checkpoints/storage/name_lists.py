"""Reads the lists of names that lie as text files beside the code that uses them."""

from __future__ import annotations

from pathlib import Path

NameLists = dict[str, frozenset[str]]


def read_name_lists(file: Path) -> dict[str, NameLists]:
    """
    Read ``[section]`` lines, and below each ``key: name name …``; lines of one key add up.

    Empty lines and those that begin with ``#`` are for people.
    """
    sections: dict[str, NameLists] = {}
    lists: NameLists = {}
    # UTF-8 is loaded already; another codec would be imported while a pickle is being read.
    for line in file.read_text("utf-8").splitlines():
        if line.startswith("["):
            lists = sections.setdefault(line.strip("[]"), {})
        elif line and not line.startswith("#"):
            key, _, names = line.partition(": ")
            lists[key] = lists.get(key, frozenset()).union(names.split())
    return sections
