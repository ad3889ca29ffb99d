"""A file that holds an operator's command line, found where Airflow finds its templates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, TypeGuard

from airflow_runai.errors import SpecError

if TYPE_CHECKING:
    from jinja2 import Environment


def is_file_name(command_line: object, endings: Sequence[str]) -> TypeGuard[str]:
    """Return whether this is one word with such an ending; a command line has several words."""
    return (
        isinstance(command_line, str)
        and command_line.endswith(tuple(endings))
        and len(command_line.split()) == 1
    )


def read_command_line(name: str, environment: Environment) -> str:
    """
    Return the content of the file, before Jinja.

    :param environment: the DAG's; it looks beside the DAG file and in ``template_searchpath``.
    :raises SpecError: if there is no such file.
    """
    from jinja2 import TemplateNotFound

    try:
        if environment.loader is None:
            raise TemplateNotFound(name)
        return environment.loader.get_source(environment, name)[0]
    except (TemplateNotFound, UnicodeDecodeError):
        raise SpecError(
            [
                f"command_line: {name!r} cannot be read; allowed: a text file beside the DAG file "
                "or in a folder of the DAG's template_searchpath, or the line itself"
            ]
        ) from None
