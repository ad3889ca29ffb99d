"""Rules on what a start-up script does to progress: deletes it, looks for it elsewhere, keeps it too late, moves on."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from airflow_runai.core.lint.checkpoint_paths import is_firm, is_result
from airflow_runai.core.lint.ending import Ending, reached
from airflow_runai.core.lint.facts import Facts, Unknown
from airflow_runai.core.lint.installs import unpinned
from airflow_runai.core.lint.places import Kind, holds, split_open
from airflow_runai.core.lint.rule import Hits, rule
from airflow_runai.core.lint.rules_checkpoints import mount_of
from airflow_runai.core.lint.script_values import (
    Named,
    certain,
    copies,
    is_copy,
    surely,
    variables,
    words_of,
)
from airflow_runai.core.lint.shell import Command, ShellScript, Statement
from airflow_runai.core.texts import cut

#: What is another text at each start.
_FRESH = re.compile(
    r"\$\(\s*(date|uuidgen|mktemp|openssl\s+rand)\b|`\s*(date|uuidgen|mktemp)\b|\$RANDOM\b|\$\{RANDOM\}|\$\$|"
    r"\$\{?(EPOCHSECONDS|EPOCHREALTIME|SRANDOM)\b|/proc/sys/kernel/random/uuid"
)
#: A default such as ${CKPT:-/x/$(date)}: what it stands in for is not known.
_DEFAULT = re.compile(r"\$\{\w+:?[-=]")
_OPTION = re.compile(r"[+-]*([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)
_SCRATCH = ("/tmp", "/var/tmp", "/dev/shm")
_WEIGHTS = r"\*\.(pt|pth|ckpt|safetensors|bin|h5|npz)"
_ALL_OF_IT = re.compile(
    rf"(/|/\*\*?|/\.|/\{{,\.\}}\*|/{_WEIGHTS}|/(step|epoch|global_step)[-_]?\*)+$"
)
_CHECKPOINTS = re.compile(r"(.*/)?(checkpoint|ckpt)[-_]?\*[^/]*", re.IGNORECASE)
_GUARD = re.compile(r"\$\{(\w+):\?[^}]*\}")
_CALLED_SO = re.compile(r"(.*/)?(checkpoints?|ckpts?|snapshots?)", re.IGNORECASE)
_FILTERS = {
    "-name",
    "-iname",
    "-mtime",
    "-mmin",
    "-ctime",
    "-size",
    "-empty",
    "-path",
    "-regex",
    "-newer",
    "-maxdepth",
}


def _before_training(facts: Facts) -> list[Statement]:
    """Return what surely comes before the training; nothing if it is not known what that is."""
    if facts.shell is None or facts.ending is None:
        return []
    body = reached(facts.shell)
    last = next((index for index, one in enumerate(body) if one is facts.ending.last), 0)
    return [one for one in body[:last] if not one.compound and not one.background]


@rule(
    "script-deletes-checkpoints",
    "error",
    "the script deletes the checkpoints before the training looks for them",
)
def script_deletes_checkpoints(facts: Facts) -> Hits:
    """It runs at every start, after a preemption too."""
    if facts.shell is None or facts.subject.evaluates:
        return
    known = variables(facts.shell)
    for statement in _before_training(facts):
        for command in _inside(statement):
            for target in _deleted(command):
                words = words_of(Command((target,), command.line), known)
                if _is_progress(facts, target, words[0]):
                    yield (
                        facts.at(command.line),
                        f"{cut(target, 80)} is deleted at each start, also when the training comes "
                        "back from a preemption; leave it out, or delete it where a new training "
                        "begins, not in its script",
                    )


def _inside(statement: Statement) -> list[Command]:
    """Return what surely runs; in ``cd FOLDER && rm -rf *`` that is ``rm -rf FOLDER/*``."""
    folder, rest = statement.commands[0], statement.commands[1:]
    if folder.name != "cd" or len(folder.words) != 2 or "||" in statement.joiners or not rest:
        return surely(statement)
    words = [
        word if word.startswith(("-", "/", "$")) else f"{folder.words[1]}/{word}"
        for word in rest[0].words[1:]
    ]
    return [Command((rest[0].words[0], *words), rest[0].line)]


def _deleted(command: Command) -> list[str]:
    """Return what a command deletes as a whole."""
    options = [word for word in command.plain[1:] if word.startswith("-")]
    targets = [word for word in command.words[1:] if not word.startswith("-") and command.plain]
    if command.name == "rm":
        deep = any(re.fullmatch(r"-\w*[rR]\w*|--recursive", option) for option in options)
        return [
            word
            for word in targets
            if deep or re.search(rf"/(\*|{_WEIGHTS}|(step|epoch|ckpt|checkpoint)\S*\*\S*)$", word)
        ]
    if command.name == "find" and "-delete" in options and not _FILTERS & set(options):
        return targets[:1]
    return []


def _is_progress(facts: Facts, target: str, value: str) -> bool:
    """
    Whether it is a place of checkpoints, all of it; what lies in scratch space is gone anyway.
    """
    bare, value = (
        _ALL_OF_IT.sub("", _GUARD.sub(r"$\1", target.replace('"', ""))),
        _ALL_OF_IT.sub("", value),
    )
    named = re.fullmatch(r"\$\{?(\w+)\}?", bare)
    fixed, is_open = split_open(value)
    if not is_open and (_in_scratch(fixed) or _is_lost(facts, fixed)):
        return False
    if (named and is_firm(named[1])) or _CHECKPOINTS.fullmatch(value):
        return True
    places = [place.path for place in facts.checkpoint_places if place.firm and place.path]
    return not is_open and (
        bool(_CALLED_SO.fullmatch(fixed)) or any(holds(fixed, place) for place in places)
    )


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
    firm = any(
        place.firm and not _FRESH.search(place.path or "") for place in facts.checkpoint_places
    )
    for found in _named(facts.shell):
        meant = is_firm(found.name) or (not firm and is_result(found.name))
        if (
            meant
            and "/" in found.value
            and _FRESH.search(found.value)
            and not _DEFAULT.search(found.value)
        ):
            yield (
                facts.at(found.line),
                f"{found.name}: its path is another one at each start, so after a preemption no "
                "checkpoint is found; take what stays the same, such as $JOB_NAME or {{ run_id }} "
                "from the task",
            )
            return


def _named(script: ShellScript) -> Iterator[Named]:
    """Return variables and options with their values, variables put in."""
    known = variables(script)
    for found in known.values():
        yield found._replace(value=words_of(Command((f'"{found.value}"',), found.line), known)[0])
    for statement in certain(script):
        for command in surely(statement):
            words = words_of(command, known) if command.plain else []
            for word, after in zip(words, [*words, ""][1:], strict=True):
                option = _OPTION.fullmatch(word)
                if option or word.startswith("--"):
                    name, value = (option[1], option[2]) if option else (word, after)
                    yield Named(name.lstrip("-"), value, command.line)


@rule("script-saves-at-end", "error", "what the training writes is kept only when it has ended")
def script_saves_at_end(facts: Facts) -> Hits:
    """Copied behind the training, from a disk that is empty after a preemption."""
    end, shell = facts.ending, facts.shell
    if (
        end is None
        or shell is None
        or end.replaces_shell
        or end.background
        or facts.subject.evaluates
    ):
        return
    known = variables(shell)
    written = [
        word.partition("=")[2] if word.startswith("-") and "=" in word else word
        for word in _words(end, shell)
    ]
    for command in filter(is_copy, _afterwards(end)):
        words = words_of(command, known)
        for source in words[1:] if command.name == "tar" else words[1:-1]:
            place = _ALL_OF_IT.sub("", source)
            used = any(
                holds(place, word) or holds(word, place) for word in written if word.startswith("/")
            )
            if used and _is_scratch(facts, place) and not _copied_before(shell, end, place):
                yield (
                    facts.at(command.line),
                    f"{cut(place, 80)} is copied when the training has ended; a preemption comes "
                    "before, and leaves nothing. Let the training write to persistent storage "
                    "itself",
                )
                return


def _afterwards(end: Ending) -> list[Command]:
    """Return what follows the training, in its own statement and behind it."""
    own = end.last.commands
    behind = own[own.index(end.training) + 1 :] if end.training in own else []
    return [*behind, *(command for statement in end.after for command in statement.commands)]


def _words(end: Ending, shell: ShellScript) -> list[str]:
    known = variables(shell)
    return [word for command in end.commands for word in words_of(command, known)]


def _is_scratch(facts: Facts, path: str) -> bool:
    fixed, is_open = split_open(path)
    return not is_open and (
        _is_lost(facts, fixed) or (_in_scratch(fixed) and _may_be_disk(facts, fixed))
    )


def _may_be_disk(facts: Facts, path: str) -> bool:
    """Whether nothing is known to be mounted there; ``/tmp`` seldom is."""
    return isinstance(facts.mounts, Unknown) or not any(
        holds(mount.path, path) for mount in facts.mounts.found
    )


def _copied_before(shell: ShellScript, end: Ending, place: str) -> bool:
    """Whether it is copied while the training runs, or when the script is told to stop."""
    after = _afterwards(end)
    others = [
        replace(one, commands=[c for c in one.commands if c not in after])
        for one in shell.statements
    ]
    return copies(ShellScript(tuple(others), shell.text), place)


@rule(
    "script-installs-unpinned", "info", "the script installs packages without naming their versions"
)
def script_installs_unpinned(facts: Facts) -> Hits:
    """The second half of a training then runs with other libraries than the first."""
    script = facts.subject.script
    if facts.shell is None or script is None:
        return
    for command in facts.shell.commands:
        found = unpinned(command.literal, script.requirements or {})
        if found:
            names = ", ".join(found[:3]) + (" …" if found[3:] else "")
            yield (
                facts.at(command.line),
                f"{cut(names, 120)}: without a version, so a start after a preemption may install "
                "another one; write NAME==VERSION, or build it into the image",
            )
