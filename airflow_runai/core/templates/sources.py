"""From texts to a library of templates; ``tasks/template_library.py`` reads the texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.templates.configmaps import import_configmap, is_configmap
from airflow_runai.core.templates.template import Template, from_document
from airflow_runai.core.templates.text import Document, documents
from airflow_runai.errors import SpecError


def load_template(text: str, where: str) -> Template:
    """
    Read one template, or one ConfigMap of the command line.

    :param where: file or Variable, for messages.
    :raises SpecError: naming ``where`` and the line.
    """
    items = [item for document in documents(text, where) for item in _items(document)]
    if len(items) > 1:
        raise SpecError([f"{where}: {len(items)} YAML documents; allowed: one here"])
    return _template(items[0])


def library(texts: Mapping[str, str | JsonMapping]) -> dict[str, Template]:
    """
    Read many templates.

    :param texts: place (file, Variable) → YAML of one or more documents, or a template that is a
        mapping already.
    :raises SpecError: with the mistakes of all of them, two templates of one name included.
    """
    problems: list[str] = []
    templates: dict[str, Template] = {}
    for template in _all(texts, problems):
        # The first one keeps the name, so that each later one is reported.
        first = templates.setdefault(template.name, template)
        if first is not template:
            problems.append(
                f"{template.where}: name: {template.name!r} is taken by {first.where}; "
                "rename one of them"
            )
    if problems:
        raise SpecError(problems)
    return templates


def _all(texts: Mapping[str, str | JsonMapping], problems: list[str]) -> Iterable[Template]:
    for where, text in texts.items():
        for item in _read(where, text, problems):
            try:
                yield _template(item)
            except SpecError as error:
                problems += error.problems


def _read(where: str, text: str | JsonMapping, problems: list[str]) -> list[Document]:
    if isinstance(text, Mapping):
        return _items(Document(where, text))
    try:
        return [item for document in documents(text, where) for item in _items(document)]
    except SpecError as error:
        problems += error.problems
        return []


def _items(document: Document) -> list[Document]:
    """Return the items of a listing such as ``kubectl get configmap -o yaml`` prints."""
    # kubectl prints several objects as one list.
    items = document.value.get("items") if isinstance(document.value, Mapping) else None
    if not isinstance(items, list) or document.value.get("kind") not in ("List", "ConfigMapList"):
        return [document]
    return [Document(f"{document.where}, items[{index}]", item) for index, item in enumerate(items)]


def _template(document: Document) -> Template:
    if is_configmap(document.value):
        return import_configmap(document.value, document.where)
    return from_document(document)
