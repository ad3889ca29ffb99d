"""
Named templates: what a team writes once, and what each training adds to it.

A template is a YAML mapping (:mod:`~airflow_runai.core.templates.template`); :func:`resolve` lays
templates, admin defaults and the task's own specification over each other and records which layer
set each value. :func:`import_configmap` reads old ConfigMaps of the command line. Texts come in as
arguments: nothing here reads a file, a Variable or the environment, and ``${VAR}`` is never
expanded.

Decisions: the task wins over its template, the template over its parent, and that over the admin's
defaults. In the vendor's command line the admin's values beat those of a template; here the admin
*locks* what must win, so that no value is overruled silently.
"""

from __future__ import annotations

from airflow_runai.core.templates.configmaps import import_configmap
from airflow_runai.core.templates.effective import Effective, resolve
from airflow_runai.core.templates.sources import library, load_template
from airflow_runai.core.templates.template import ADMIN, CALL, Template
from airflow_runai.core.templates.text import MAX_CHARACTERS

__all__ = [
    "ADMIN",
    "CALL",
    "MAX_CHARACTERS",
    "Effective",
    "Template",
    "import_configmap",
    "library",
    "load_template",
    "resolve",
]
