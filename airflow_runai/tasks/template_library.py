"""
Templates from folders, an Airflow Variable and the DAG file; ``core/templates`` interprets them.

The configured folder is always read, so that a DAG cannot leave out the admin's defaults by naming
its own.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.templates import MAX_CHARACTERS, Template, library
from airflow_runai.deployment import configuration
from airflow_runai.errors import SpecError

_ENDINGS = (".yaml", ".yml")


def template_library(
    folder: str | None = None,
    variable: str | None = None,
    inline: Mapping[str, JsonMapping] | None = None,
) -> dict[str, Template]:
    """
    Read all templates that a task may name.

    :param folder: a folder with ``.yaml`` and ``.yml`` files, besides ``[runai] template_folder``;
        its subfolders are not read.
    :param variable: key of an Airflow Variable that holds YAML, of one or more documents.
    :param inline: name → template, as a mapping in the DAG file; ``name`` itself may be left out
        there.
    :raises SpecError: with all mistakes, each with its file or Variable, and line.
    """
    texts: dict[str, str | JsonMapping] = {}
    # The DAG may name the configured folder once more.
    for name in dict.fromkeys(filter(None, (configuration.option("template_folder"), folder))):
        texts.update(_files(name))
    if variable:
        texts[f"Variable {variable!r}"] = _variable(variable)
    for name, template in (inline or {}).items():
        texts[f"template {name!r} in the DAG file"] = _named(name, template)
    return library(texts)


def _files(folder: str) -> Iterator[tuple[str, str]]:
    path = Path(folder).expanduser()
    if not path.is_dir():
        raise SpecError(
            [f"template folder {folder!r}: no folder here; allowed: one that every worker has"]
        )
    try:
        for file in sorted(path.iterdir()):
            if file.suffix in _ENDINGS and file.is_file():
                yield str(file), _text(file)
    except OSError as error:
        raise SpecError([f"{error.filename or folder}: cannot be read: {error.strerror}"]) from None


def _text(file: Path) -> str:
    size = file.stat().st_size
    if size > MAX_CHARACTERS * 4:  # a character takes up to four bytes
        raise SpecError(
            [f"{file}: {size} bytes; allowed: {MAX_CHARACTERS} characters. Split it into several"]
        )
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise SpecError(
            [f"{file}: no UTF-8 at byte {error.start}; allowed: YAML in UTF-8"]
        ) from None


def _variable(key: str) -> str:
    # Imported here: it asks Airflow's API or database, which the parse of a DAG does not need.
    from airflow.sdk import Variable

    text = Variable.get(key, default=None)
    if not isinstance(text, str):
        raise SpecError([f"Variable {key!r}: not set; put the YAML of the templates into it"])
    return text


def _named(name: str, template: JsonMapping) -> JsonMapping:
    if not isinstance(template, Mapping):
        raise SpecError(
            [f"template {name!r} in the DAG file: a {type(template).__name__}; allowed: a mapping"]
        )
    if template.get("name", name) != name:
        raise SpecError(
            [f"template {name!r} in the DAG file: its name is {template['name']!r}; leave that out"]
        )
    return {"name": name, **template}
