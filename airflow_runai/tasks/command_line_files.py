"""
A file that holds an operator's command line, found where Airflow finds its templates.

Airflow's own ``template_ext`` is not used: it would take each line that ends with the name of a
script for a file, and so would it an image or a path in ``spec``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeGuard

from airflow_runai.errors import SpecError

if TYPE_CHECKING:
    from jinja2 import Environment

#: Endings of such files.
COMMAND_LINE_EXT = (".sh", ".txt")


def is_file_name(command_line: Any) -> TypeGuard[str]:
    """Whether ``command_line`` names a file: one word with such an ending; a line has several."""
    return (
        isinstance(command_line, str)
        and command_line.endswith(COMMAND_LINE_EXT)
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
