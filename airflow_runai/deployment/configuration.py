"""Options of Airflow's configuration: the section ``[runai]``, and whether tasks defer."""

from __future__ import annotations

import os
from configparser import ConfigParser

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowConfigException

from airflow_runai.core.options import OPTIONS, SECTION
from airflow_runai.errors import InvalidArgument


def option(name: str) -> str:
    """Return the configured text of an option, or its default."""
    return str(conf.get(SECTION, name, fallback=OPTIONS[name]["default"]))


def seconds(name: str) -> float:
    """
    Return an option that counts seconds.

    :raises InvalidArgument: if it is not a number.
    """
    text = option(name)
    try:
        return float(text)
    except ValueError:
        raise InvalidArgument(
            [f"[{SECTION}] {name}: {text!r}; allowed: a number of seconds"]
        ) from None


def deferrable(own: bool | None) -> bool:
    """
    Return whether a task waits on the triggerer: its own setting, else the site's, else ``True``.

    The site's setting is ``[operators] default_deferrable`` in the environment or ``airflow.cfg``.
    Airflow ships ``false``, so a default does not count. Airflow takes commands and secrets for
    sensitive options only, which this is not; so none is run or looked up here either.

    :raises InvalidArgument: if the site's setting is not a boolean.
    """
    if own is not None:
        return own
    section, name = "operators", "default_deferrable"
    # Airflow's own `has_option` also finds defaults; that of its base class only what was read.
    in_file = ConfigParser.has_option(conf, section, name)
    if not in_file and f"AIRFLOW__{section}__{name}".upper() not in os.environ:
        return True
    try:
        return bool(conf.getboolean(section, name))
    except AirflowConfigException:
        text = conf.get(section, name)
        raise InvalidArgument([f"[{section}] {name}: {text!r}; allowed: true or false"]) from None
