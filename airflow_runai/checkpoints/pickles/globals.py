"""
Which names a checkpoint's pickle may mention.

*Allowed* names build plain data. *Dangerous* names are always refused. *Foreign* names belong to
the user or to libraries: resuming needs them, so they are reported, and refused only by a strict
policy. This reader imports none of them. The names themselves are in ``globals.txt``.

For code that the world knows, the rule is an allow-list: every name of Python's standard library
that is not listed is dangerous, and so is every function (lower-case name) of PyTorch, NumPy and
their like. Block-lists alone are known to leak (picklescan#66). In an unknown library, a function
that is called with arguments is refused, and an object made by its constructor cannot be verified.
A user's own module that is itself malicious cannot be recognised.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Literal

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import shown
from airflow_runai.checkpoints.pickles.mentions import Mentions, Use
from airflow_runai.checkpoints.storage.name_lists import NameLists, read_name_lists

Trust = Literal["allowed", "foreign", "dangerous"]

# Functions by which Cython and others restore their own objects.
_REBUILDS = re.compile(
    r"(?:.*\.)?_{0,2}(?:pyx_unpickle|rebuild|reconstruct|unpickle|restore)_?\w*$"
)


@cache
def _lists(section: str) -> NameLists:
    return read_name_lists(Path(__file__).with_name("globals.txt"))[section]


def trust(module: str, name: str) -> Trust:
    """
    Return how far a global of a pickle can be trusted.

    :param module: dotted module name, as written in the pickle.
    :param name: name inside the module; protocol 4 allows dots in it.
    """
    if name in _lists("allowed").get(module, ()):
        return "allowed"
    return "dangerous" if _is_dangerous(module, name) else "foreign"


def _is_dangerous(module: str, name: str) -> bool:
    dangerous = _lists("dangerous")
    root, *below = module.split(".")
    parts = name.split(".")
    if _is_standard(root) or root in dangerous["root"] or _is_dangerous_package(module):
        return True
    # A library's module holds what it imports: torch.serialization.os.system.
    if any(_is_standard(part) or part.startswith("__") for part in parts):
        return True
    if root in _lists("libraries")["known"] and (len(parts) > 1 or not _is_class(name)):
        return True
    return parts[-1] in dangerous["name"] or not dangerous["part"].isdisjoint(below)


@contextmanager
def noting_globals(path: str, context: CheckContext) -> Iterator[Mentions]:
    """Note what a pickle mentions, even if the rest of it cannot be read."""
    mentions = Mentions()
    try:
        yield mentions
    finally:
        _note_globals(mentions, path, context)


def _note_globals(mentions: Mentions, path: str, context: CheckContext) -> None:
    """Note what the globals of a pickle, and what it does with them, mean for the checkpoint."""
    for module, name, use in mentions:
        level, full = trust(module, name), shown(f"{module}.{name}")
        if level == "dangerous":
            text = f"loading it would use {full}, which can run commands"
            context.note("pickle-dangerous", path, text)
        elif level == "foreign" and context.request.policy.strict:
            text = f"names {full}, whose own code runs when it is loaded"
            context.note("pickle-foreign-strict", path, text)
        elif level == "foreign":
            _note_foreign(module, name, use, path, context)


def _note_foreign(module: str, name: str, use: Use, path: str, context: CheckContext) -> None:
    full, libraries = shown(f"{module}.{name}"), _lists("libraries")
    is_known = module.partition(".")[0] in libraries["known"] | libraries["training"]
    if use == "named" or (is_known and _is_class(name)):
        code = "pickle-foreign"
        text = f"names {full}, whose own code runs when it is loaded; it was not imported"
    elif use == "called" and not _is_class(name) and not _REBUILDS.match(name):
        code = "pickle-foreign-call"
        text = f"loading it would call {full}, which is not known here, with the file's arguments"
        text = f"{text}; save plain tensors and numbers instead"
    else:
        code = "pickle-foreign-made"
        text = f"loading it would make an object by {full}, which is not known here"
        text = f"{text}; whether that is harmless is not known"
    context.note(code, path, text)


def _is_class(name: str) -> bool:
    return name.rpartition(".")[2].lstrip("_")[:1].isupper()


def _is_standard(name: str) -> bool:
    return name in sys.stdlib_module_names


def _is_dangerous_package(module: str) -> bool:
    parts = module.split(".")
    packages = _lists("dangerous")["package"]
    return any(".".join(parts[:end]) in packages for end in range(2, len(parts) + 1))
