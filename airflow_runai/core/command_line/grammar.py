"""
The flags that a line may have: collisions between CLI v1's three grammars, decided beforehand.

``--command`` took a value in 2020 and is boolean since 10/2020; ``-t`` was ``--template`` until
mid-2020 and is ``--tty`` since. No line says which version it was written for, so its form decides:

- with a bare ``--``, ``--command`` is boolean; without one it takes a value. The later command
  lines refuse ``--command=start.sh`` without ``--``, but their own pages show it, so it is
  accepted;
- ``-t`` is a template only if a word follows it that is not a flag, and nothing in the line is
  younger than 2020: no bare ``--``, no flag of 2.x, no Go boolean behind it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache

from airflow_runai.core.command_line.flags import Disposition, Flag, Takes
from airflow_runai.core.command_line.scan import by_name
from airflow_runai.core.command_line.table_v1 import V1
from airflow_runai.core.command_line.table_v2 import V2
from airflow_runai.core.command_line.values import is_go_boolean
from airflow_runai.core.command_line.verbs import Verb

#: Flags of CLI v1 that have no flag in CLI v2.
_WITHOUT_FLAG = {
    "name": "here the name is a word of its own",
    "args": "here write the words after --",
}


def flags_for(verb: Verb, words: list[str]) -> Mapping[str, Flag]:
    """Return the flags of ``verb`` by name, as this line means them."""
    flags = by_name(verb.table)
    if verb.old:
        # These change a mapping that was made for this line; the tables stay as they are.
        if "--" in words:
            flags["--command"] = replace(flags["--command"], takes=Takes.NOTHING)
        elif _is_template(words, flags):
            flags["-t"] = flags["--template"]
    return flags


@cache
def elsewhere(*, old: bool) -> Mapping[str, str]:
    """
    Return the flags that only the other generation has, with what to write instead.

    :param old: the line is one of CLI v1.
    """
    own, other, name = (V1, V2, "CLI v2") if old else (V2, V1, "CLI v1")
    own_names = by_name(own)
    return {
        spelled: f"{spelled} is a flag of {name}; {_counterpart(flag, own)}"
        for flag in other
        for spelled in flag.spelled
        if spelled not in own_names
    }


def _counterpart(flag: Flag, table: tuple[Flag, ...]) -> str:
    if flag.name in _WITHOUT_FLAG:
        return _WITHOUT_FLAG[flag.name]
    if flag.target.disposition in (Disposition.IGNORED, Disposition.REFUSED):
        return flag.target.where
    # Some flags of CLI v2 only go along with others, which say the thing itself.
    candidates = table if table is V1 else filter(_stands_alone, table)
    twins = [
        twin.spelled[0]
        for twin in candidates
        if not set(flag.target.places).isdisjoint(twin.target.places)
    ]
    return f"here write {' or '.join(twins)}" if twins else "nothing says that here; leave it out"


def _stands_alone(flag: Flag) -> bool:
    return flag.target.show is not None or flag.target.disposition is Disposition.ARGUMENT


def _is_template(words: list[str], flags: Mapping[str, Flag]) -> bool:
    names = {word.partition("=")[0] for word in words}
    if any("2.x" in flags[name].eras for name in names & flags.keys()):
        return False
    for word, following in zip(words, [*words, "-"][1:], strict=True):
        if word == "-t":
            return not following.startswith("-")
        if word.startswith("-t="):
            return not is_go_boolean(word.removeprefix("-t="))
        if word.startswith("-t"):
            return True
    return False
