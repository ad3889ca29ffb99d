"""From texts to a library of templates; who reads files and Variables is ``tasks/template_library.py``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

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
    found = [part for whole in documents(text, where) for part in _items(whole)]
    if len(found) > 1:
        raise SpecError([f"{where}: {len(found)} YAML documents; allowed: one here"])
    return _template(found[0])


def library(texts: Mapping[str, str | Mapping[str, Any]]) -> dict[str, Template]:
    """
    Read many templates.

    :param texts: place (file, Variable) → YAML of one or more documents, or a template that is a
        mapping already.
    :raises SpecError: with the mistakes of all of them, two templates of one name included.
    """
    problems: list[str] = []
    found: dict[str, Template] = {}
    for template in _all(texts, problems):
        if template.name in found:
            first = found[template.name].where
            problems.append(
                f"{template.where}: name: {template.name!r} is taken by {first}; rename one of them"
            )
        found.setdefault(template.name, template)
    if problems:
        raise SpecError(problems)
    return found


def _all(texts: Mapping[str, str | Mapping[str, Any]], problems: list[str]) -> Iterable[Template]:
    for where, text in texts.items():
        try:
            held = [Document(where, text)] if isinstance(text, Mapping) else documents(text, where)
        except SpecError as error:
            problems += error.problems
            continue
        for document in [part for whole in held for part in _items(whole)]:
            try:
                yield _template(document)
            except SpecError as error:
                problems += error.problems


def _items(document: Document) -> list[Document]:
    """
    Take a listing apart, as ``kubectl get configmap -l runai/template -o yaml`` prints several.
    """
    items = document.value.get("items") if isinstance(document.value, Mapping) else None
    if not isinstance(items, list) or document.value.get("kind") not in ("List", "ConfigMapList"):
        return [document]
    return [Document(f"{document.where}, items[{index}]", item) for index, item in enumerate(items)]


def _template(document: Document) -> Template:
    if is_configmap(document.value):
        return import_configmap(document.value, document.where)
    return from_document(document)
