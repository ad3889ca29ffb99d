"""
Where a training's checkpoints go: named by a variable, an argument, or a mount.

A specification has no field for the checkpoint path, so names decide. *Firm*: the name says
checkpoint, and not that the training starts from there (``CHECKPOINTS``, ``--ckpt-dir``,
``checkpoint.dirpath=``, a mount ``/checkpoints``). *Likely*: names of results (``OUTPUT_DIR``,
``--save-dir``), and of inputs. A likely place is enough to stay silent, but no reason to report
where it lies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise

from airflow_runai.core.jinja import is_templated
from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.lint.places import Mounts
from airflow_runai.core.lint.script_values import certain_commands, resolved, variables, words_of
from airflow_runai.core.lint.shell import ShellScript

_PLACE = r"(_?(dir|directory|path|root|folder|location|dirpath|uri|url))"
_CHECKPOINTS = re.compile(rf"(.*_)?(checkpoints?|ckpts?|snapshots?)({_PLACE}?)")
_RESULTS = re.compile(
    rf"(.*_)?(checkpoints?|ckpts?|output|out|save|model|run|results?|experiments?|work|job|log|weights|default_root)"
    rf"{_PLACE}|save|resume.*|load.*"
)
_ORIGINS = re.compile(
    r"(^|_)(pretrained|init|initial|resume|load|from|base|teacher|source|input|start|restore)(_|$)"
)
_NO_PATH = re.compile(
    r"[\d.]*|true|false|yes|no|none|null|on|off|auto|last|best|latest", re.IGNORECASE
)
_MOUNT = re.compile(r"(^|[/_-])(checkpoints?|ckpts?|snapshots?)([/_-]|$)", re.IGNORECASE)
_FILE = re.compile(
    r"\.(pt|pth|ckpt|bin|safetensors|h5|hdf5|keras|npz|pkl|onnx|tar|gz|zip|json|ya?ml|txt)$"
)
_SAVED = re.compile(
    rf"(output|out|save|results?|model|run|experiment|exp|default_root){_PLACE}|save|output"
)
_ASSIGNED = re.compile(r"[+-]*([A-Za-z_][\w.-]*)=(.*)", re.DOTALL)


@dataclass(frozen=True)
class CheckpointPlace:
    """
    One place that checkpoints may go to.

    :param path: ``None`` if its value is not known, such as that of a secret.
    :param firm: the name says checkpoint, see above.
    :param in_script: the start-up script names it.
    """

    where: str
    path: str | None
    firm: bool
    in_script: bool = False


def of_variables(variables: JsonMapping) -> Iterator[CheckpointPlace]:
    """Find them among environment variables."""
    for name, value in variables.items():
        # Numbers are intervals and counts: CHECKPOINT_STEPS=500.
        if not isinstance(value, (int, float)):
            path = value if isinstance(value, str) else None
            yield from _named(str(name), path, f"spec.environment.{name}")


def of_words(words: Iterable[str]) -> Iterator[CheckpointPlace]:
    """Find them among the words of a command: ``--name value``, ``[--]name=value``."""
    for word, after in pairwise([*words, ""]):
        assigned = _ASSIGNED.fullmatch(word)
        if assigned:
            yield from _named(assigned[1], assigned[2], f"spec.args, {assigned[1]}")
        elif word.startswith("--") and not after.startswith("-"):
            yield from _named(word.lstrip("-"), after, f"spec.args, {word}")


def of_mounts(mounts: Mounts) -> Iterator[CheckpointPlace]:
    """Find mounts with such a name; a read-only one is a place to start from."""
    for mount in mounts.found:
        if _MOUNT.search(mount.path):
            yield CheckpointPlace(mount.where, mount.path, firm=mount.read_only is not True)


def of_script(script: ShellScript, at: Callable[[int], str]) -> Iterator[CheckpointPlace]:
    """
    Find them among the variables and the programs' options in a start-up script.

    A file of weights is a place to start from, not to save to.

    :param at: names a line.
    """
    paths: set[str | None] = set()
    for place in _all_of_script(script, at):
        if place.path not in paths and not _FILE.search(place.path or ""):
            yield replace(place, in_script=True)
        paths.add(place.path)


def _all_of_script(script: ShellScript, at: Callable[[int], str]) -> Iterator[CheckpointPlace]:
    values = variables(script)
    for variable in values.values():
        path = resolved(variable.value, values)
        yield from _named(variable.name, path, at(variable.line))
    for command in certain_commands(script):
        if command.plain:
            for place in of_words(words_of(command, values)):
                yield replace(place, where=at(command.line))


def is_firm(name: str) -> bool:
    """Return whether a variable or option of this name holds the place of checkpoints."""
    plain = _plain(name)
    return bool(_CHECKPOINTS.fullmatch(plain)) and not _ORIGINS.search(plain)


def is_result(name: str) -> bool:
    """Return whether one of this name holds a place of results, among which checkpoints may be."""
    return bool(_SAVED.fullmatch(_plain(name)))


def _plain(name: str) -> str:
    return re.sub(r"[-.]", "_", name.lstrip("-+")).lower()


def _named(name: str, path: str | None, where: str) -> Iterator[CheckpointPlace]:
    plain = _plain(name)
    says_checkpoint = bool(_CHECKPOINTS.fullmatch(plain))
    if not says_checkpoint and not _RESULTS.fullmatch(plain):
        return
    # The value of a secret is not known, but its name says enough.
    if path is None or _may_be_path(path, says_checkpoint):
        yield CheckpointPlace(where, path, firm=says_checkpoint and not _ORIGINS.search(plain))


def _may_be_path(text: str, says_checkpoint: bool) -> bool:
    if _NO_PATH.fullmatch(text.strip()):
        return False
    return says_checkpoint or "/" in text or is_templated(text)
