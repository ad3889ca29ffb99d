"""
What flags a line has: the collisions of CLI v1's three grammars, decided before its flags are read.

``--command`` took a value in 2020 and is boolean since 10/2020; ``-t`` was ``--template`` until
mid-2020 and is ``--tty`` since. Nothing in a line says which version it was written for, so the
form does:

- with a bare ``--``, ``--command`` is boolean; without one it takes a value. The later command
  lines refuse ``--command=start.sh`` without ``--``, but their own pages show it, so it is
  accepted;
- ``-t`` is a template only if a word follows it that is no flag, and nothing in the line is younger
  than 2020: no bare ``--``, no flag of 2.x, no Go boolean behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from airflow_runai.core.command_line.flags import Disposition, Flag, Takes
from airflow_runai.core.command_line.rows_v1 import V1
from airflow_runai.core.command_line.rows_v2 import V2
from airflow_runai.core.command_line.scan import by_name
from airflow_runai.core.command_line.values import go_boolean
from airflow_runai.core.command_line.verbs import Verb


def flags_for(verb: Verb, words: list[str]) -> Mapping[str, Flag]:
    """Return the flags of ``verb`` by name, as this line means them."""
    flags = by_name(verb.table)
    if verb.old:
        if "--" in words:
            flags["--command"] = replace(flags["--command"], takes=Takes.NOTHING)
        elif _is_template(words, flags):
            flags["-t"] = flags["--template"]
    return flags


@cache
def elsewhere(*, old: bool) -> Mapping[str, str]:
    """Return the flags that only the other generation has, with what to write in CLI v1 (``old``) or v2 instead."""
    own, other, name = (V1, V2, "CLI v2") if old else (V2, V1, "CLI v1")
    known = by_name(own)
    return {
        spelled: f"{spelled} is a flag of {name}; {_counterpart(flag, own)}"
        for flag in other
        for spelled in flag.spelled
        if spelled not in known
    }


#: What has no flag of its own in CLI v2.
_WITHOUT_FLAG = {
    "name": "here the name is a word of its own",
    "args": "here write the words after --",
}


def _counterpart(flag: Flag, table: tuple[Flag, ...]) -> str:
    if flag.names[0] in _WITHOUT_FLAG:
        return _WITHOUT_FLAG[flag.names[0]]
    if flag.landing.fate in (Disposition.IDLE, Disposition.REFUSED):
        return flag.landing.where
    places = set(flag.landing.where.split(", "))
    # Of CLI v2 only what says the thing itself, not what goes along with it.
    twins = [
        twin
        for twin in table
        if table is V1 or twin.landing.show or twin.landing.fate is Disposition.ARGUMENT
    ]
    found = [twin.spelled[0] for twin in twins if places & set(twin.landing.where.split(", "))]
    return f"here write {' or '.join(found)}" if found else "nothing says that here; leave it out"


def _is_template(words: list[str], flags: Mapping[str, Flag]) -> bool:
    names = {word.partition("=")[0] for word in words}
    if any("2.x" in flags[name].eras for name in names & flags.keys()):
        return False
    for word, after in zip(words, [*words, "-"][1:], strict=True):
        if word == "-t":
            return not after.startswith("-")
        if word.startswith("-t"):
            return not _is_boolean(word[2:])
    return False


def _is_boolean(text: str) -> bool:
    try:
        go_boolean(text.removeprefix("="))
    except ValueError:
        return False
    return text.startswith("=")
