"""
A command line and templates under Rendered Templates: text after Jinja, with secrets masked.

For people only. ``execute`` renders the line anew, word by word; templates contain no Jinja.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airflow_runai.core.secrets import in_words, masked
from airflow_runai.errors import SpecError
from airflow_runai.tasks.instructions import looks_secret

_MASK = "***"
#: An environment variable in a word of its own, or behind its flag.
_VARIABLE = re.compile(r"((?:-e|--env[a-z-]*=)?([A-Z_][A-Z0-9_]*)=).+", re.DOTALL)


def shown_command_line(line: Any, render: Callable[[str], Any]) -> Any:
    """
    Return the line with its words rendered and its secrets masked.

    :param render: renders one word.
    """
    if not isinstance(line, str):
        return line
    # Imported here: DAGs without a command line need not pay for its grammars.
    from airflow_runai.core.command_line.words import split

    try:
        words = split(line).words
    except SpecError:
        # `execute` refuses such a line, and says why.
        return masked(line)
    return shlex.join(_masked_words([str(render(word)) for word in words]))


def _masked_words(words: Sequence[str]) -> list[str]:
    # `-u name:password` is a log-in only to curl.
    curl = ["curl"] if "curl" in words else []
    return [
        # The option in front tells that a word is a password.
        _MASK if before in in_words([*curl, before, word]) else _masked_word(word)
        for before, word in zip(["", *words], words, strict=False)
    ]


def _masked_word(word: str) -> str:
    variable = _VARIABLE.fullmatch(word)
    if variable and looks_secret(variable[2]):
        return variable[1] + _MASK
    option = next(in_words([word]), None)
    if option is None:
        return word
    return option + _MASK if option.endswith("=") and word.startswith(option) else _MASK


def shown_templates(templates: Any) -> Any:
    """Return the templates of a DAG file as JSON; the key of a Variable as it is."""
    if not isinstance(templates, Mapping):
        return templates
    return json.dumps(_masked_values(templates), indent=2, default=str)


def _masked_values(value: Any, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return {key: _masked_values(entry, str(key)) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_masked_values(entry, name) for entry in value]
    if isinstance(value, str):
        return _MASK if looks_secret(name) else masked(value)
    return value
