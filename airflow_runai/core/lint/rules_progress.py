"""
Rules on what a start-up script does to progress.

It may delete checkpoints, look for them elsewhere, keep them too late, or change the libraries.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import pairwise

from airflow_runai.core.lint.checkpoint_paths import is_firm, is_result
from airflow_runai.core.lint.ending import Ending, reached
from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.installs import unpinned
from airflow_runai.core.lint.places import Kind, holds, split_open
from airflow_runai.core.lint.rule import Hits, rule
from airflow_runai.core.lint.rules_checkpoints import mount_of
from airflow_runai.core.lint.script_values import (
    NamedValue,
    certain_commands,
    certain_in,
    copies,
    is_copy,
    variables,
    words_of,
)
from airflow_runai.core.lint.shell import Command, ShellScript, Statement
from airflow_runai.core.texts import cut

#: Expansions that give another text at each start.
_FRESH = re.compile(
    r"\$\(\s*(date|uuidgen|mktemp|openssl\s+rand)\b|`\s*(date|uuidgen|mktemp)\b|\$RANDOM\b|\$\{RANDOM\}|\$\$|"
    r"\$\{?(EPOCHSECONDS|EPOCHREALTIME|SRANDOM)\b|/proc/sys/kernel/random/uuid"
)
#: A default such as ${CKPT:-/x/$(date)}: the value that it replaces is not known.
_DEFAULT = re.compile(r"\$\{\w+:?[-=]")
_OPTION = re.compile(r"[+-]*([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)
_SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")
_WEIGHTS = r"\*\.(pt|pth|ckpt|safetensors|bin|h5|npz)"
_ALL_OF_IT = re.compile(
    rf"(/|/\*\*?|/\.|/\{{,\.\}}\*|/{_WEIGHTS}|/(step|epoch|global_step)[-_]?\*)+$"
)
_ALL_FILES = re.compile(rf"/(\*|{_WEIGHTS}|(step|epoch|ckpt|checkpoint)\S*\*\S*)$")
_CHECKPOINTS = re.compile(r"(.*/)?(checkpoint|ckpt)[-_]?\*[^/]*", re.IGNORECASE)
_RECURSIVE = re.compile(r"-\w*[rR]\w*|--recursive")
_GUARD = re.compile(r"\$\{(\w+):\?[^}]*\}")
_CALLED_SO = re.compile(r"(.*/)?(checkpoints?|ckpts?|snapshots?)", re.IGNORECASE)
#: Options with which find deletes only a part of what lies there.
_FILTER_NAMES = "-name -iname -mtime -mmin -ctime -size -empty -path -regex -newer -maxdepth"
_FILTERS = frozenset(_FILTER_NAMES.split())


def _before_training(facts: Facts) -> list[Statement]:
    """Return the statements that run in any case before the training, if that is known."""
    if facts.shell is None or facts.ending is None:
        return []
    before: list[Statement] = []
    for statement in reached(facts.shell):
        if statement is facts.ending.last:
            return before
        if not statement.compound and not statement.background:
            before.append(statement)
    return []  # the training runs in a script that this one execs


@rule(
    "script-deletes-checkpoints",
    "error",
    "the script deletes the checkpoints before the training looks for them",
)
def script_deletes_checkpoints(facts: Facts) -> Hits:
    """It runs at every start, after a preemption too."""
    if facts.shell is None or facts.subject.evaluates:
        return
    values = variables(facts.shell)
    for line, target in _deleted_before_training(facts):
        path = words_of(Command((target,), line), values)[0]
        if _is_progress(facts, target, path):
            yield (
                facts.at(line),
                f"{cut(target, 80)} is deleted at each start, also when the training comes back "
                "from a preemption; leave it out, or delete it where a new training begins, not in "
                "its script",
            )


def _deleted_before_training(facts: Facts) -> Iterator[tuple[int, str]]:
    for statement in _before_training(facts):
        for command in _inside(statement):
            yield from ((command.line, target) for target in _deleted(command))


def _inside(statement: Statement) -> list[Command]:
    """Return what runs in any case; in ``cd FOLDER && rm -rf *`` that is ``rm -rf FOLDER/*``."""
    first, *rest = statement.commands
    if first.name != "cd" or len(first.words) != 2 or "||" in statement.joiners or not rest:
        return certain_in(statement)
    program, *arguments = rest[0].words
    words = [
        word if word.startswith(("-", "/", "$")) else f"{first.words[1]}/{word}"
        for word in arguments
    ]
    return [Command((program, *words), rest[0].line)]


def _deleted(command: Command) -> list[str]:
    """Return the paths that a command deletes as a whole."""
    options = [word for word in command.plain[1:] if word.startswith("-")]
    targets = [word for word in command.words[1:] if not word.startswith("-")]
    if command.name == "rm":
        is_recursive = any(map(_RECURSIVE.fullmatch, options))
        return targets if is_recursive else list(filter(_ALL_FILES.search, targets))
    # With a filter, find deletes a part, such as all checkpoints but the newest.
    if command.name == "find" and "-delete" in options and _FILTERS.isdisjoint(options):
        return targets[:1]
    return []


def _is_progress(facts: Facts, target: str, path: str) -> bool:
    """
    Return whether all checkpoints of a place are meant, and would outlive a preemption.

    :param target: as written; ``path``: with values of variables.
    """
    path = _ALL_OF_IT.sub("", path)
    fixed, is_open = split_open(path)
    # Files there do not outlive a preemption anyway.
    if not is_open and (_in_scratch(fixed) or _is_lost(facts, fixed)):
        return False
    if _is_firm_variable(target) or _CHECKPOINTS.fullmatch(path):
        return True
    if is_open:
        return False
    places = [place.path for place in facts.checkpoint_places if place.firm and place.path]
    return bool(_CALLED_SO.fullmatch(fixed)) or any(holds(fixed, place) for place in places)


def _is_firm_variable(target: str) -> bool:
    # Careful scripts guard against an empty variable: rm -rf "${CKPT:?}"/*.
    bare = _ALL_OF_IT.sub("", _GUARD.sub(r"$\1", target.replace('"', "")))
    variable = re.fullmatch(r"\$\{?(\w+)\}?", bare)
    return variable is not None and is_firm(variable[1])


def _is_lost(facts: Facts, path: str) -> bool:
    mount = mount_of(facts, path)
    return mount is not None and mount.kind is Kind.LOST


def _in_scratch(path: str) -> bool:
    return any(holds(folder, path) for folder in _SCRATCH)


@rule(
    "script-fresh-folder",
    "error",
    "checkpoints go to another folder at each start, so none is ever found again",
)
def script_fresh_folder(facts: Facts) -> Hits:
    """A time, a random number or a process id in the path."""
    if facts.shell is None or facts.subject.evaluates:
        return
    has_stable_place = any(
        place.firm and not _FRESH.search(place.path or "") for place in facts.checkpoint_places
    )
    for named in _named_values(facts.shell):
        is_meant = is_firm(named.name) or (not has_stable_place and is_result(named.name))
        if is_meant and _is_fresh_path(named.value):
            yield (
                facts.at(named.line),
                f"{named.name}: its path is another one at each start, so after a preemption no "
                "checkpoint is found; take what stays the same, such as $JOB_NAME or {{ run_id }} "
                "from the task",
            )
            return


def _is_fresh_path(text: str) -> bool:
    return "/" in text and bool(_FRESH.search(text)) and not _DEFAULT.search(text)


def _named_values(script: ShellScript) -> Iterator[NamedValue]:
    """Return variables and options, with values of variables in them."""
    values = variables(script)
    for variable in values.values():
        word = Command((f'"{variable.value}"',), variable.line)
        yield variable._replace(value=words_of(word, values)[0])
    for command in certain_commands(script):
        if command.plain:
            yield from _options(words_of(command, values), command.line)


def _options(words: list[str], line: int) -> Iterator[NamedValue]:
    for word, following in pairwise([*words, ""]):
        assigned = _OPTION.fullmatch(word)
        if assigned:
            yield NamedValue(assigned[1], assigned[2], line)
        elif word.startswith("--"):
            yield NamedValue(word.lstrip("-"), following, line)


@rule("script-saves-at-end", "error", "what the training writes is kept only when it has ended")
def script_saves_at_end(facts: Facts) -> Hits:
    """Copied behind the training, from a disk that is empty after a preemption."""
    end, shell = facts.ending, facts.shell
    if end is None or shell is None or facts.subject.evaluates:
        return
    # Nothing of the script runs behind an exec; with & it runs beside the training.
    if end.replaces_shell or end.background:
        return
    for line, place in _copied_after_training(end, variables(shell)):
        if _is_scratch(facts, place) and not _copied_before(shell, end, place):
            yield (
                facts.at(line),
                f"{cut(place, 80)} is copied when the training has ended; a preemption comes "
                "before, and leaves nothing. Let the training write to persistent storage itself",
            )
            return


def _copied_after_training(
    end: Ending, values: Mapping[str, NamedValue]
) -> Iterator[tuple[int, str]]:
    """Return line and place of each copy of what an argument of the training names."""
    written = _paths_of_training(end, values)
    for command in filter(is_copy, _afterwards(end)):
        for place in _sources(words_of(command, values)):
            if any(holds(place, path) or holds(path, place) for path in written):
                yield command.line, place


def _paths_of_training(end: Ending, values: Mapping[str, NamedValue]) -> list[str]:
    words = [word for command in end.commands for word in words_of(command, values)]
    arguments = [
        word.partition("=")[2] if word.startswith("-") and "=" in word else word for word in words
    ]
    return [word for word in arguments if word.startswith("/")]


def _sources(words: list[str]) -> list[str]:
    """Return the places that a command copies from; the last word is the target."""
    sources = words[1:] if words[0] == "tar" else words[1:-1]
    return [_ALL_OF_IT.sub("", source) for source in sources]


def _afterwards(end: Ending) -> list[Command]:
    """Return what follows the training, in its own statement and behind it."""
    own = end.last.commands
    behind = own[own.index(end.training) + 1 :] if end.training in own else []
    return [*behind, *(command for statement in end.after for command in statement.commands)]


def _is_scratch(facts: Facts, path: str) -> bool:
    fixed, is_open = split_open(path)
    if is_open:
        return False
    return _is_lost(facts, fixed) or (_in_scratch(fixed) and not _is_mounted(facts, fixed))


def _is_mounted(facts: Facts, path: str) -> bool:
    """Return whether something is known to be mounted there; on ``/tmp`` that is rare."""
    if isinstance(facts.mounts, Unknown):
        return False
    return any(holds(mount.path, path) for mount in facts.mounts.found)


def _copied_before(shell: ShellScript, end: Ending, place: str) -> bool:
    """Return whether it is copied while the training runs, or in a trap."""
    after = _afterwards(end)
    before = [
        replace(
            statement,
            commands=[command for command in statement.commands if command not in after],
        )
        for statement in shell.statements
    ]
    return copies(ShellScript(tuple(before), shell.text), place)


@rule(
    "script-installs-unpinned", "info", "the script installs packages without naming their versions"
)
def script_installs_unpinned(facts: Facts) -> Hits:
    """The second half of a training then runs with other libraries than the first."""
    script = facts.subject.script
    if facts.shell is None or script is None:
        return
    for command in facts.shell.commands:
        packages = unpinned(command.literal, script.requirements or {})
        if packages:
            names = ", ".join(packages[:3]) + (" …" if packages[3:] else "")
            yield (
                facts.at(command.line),
                f"{cut(names, 120)}: without a version, so a start after a preemption may install "
                "another one; write NAME==VERSION, or build it into the image",
            )
