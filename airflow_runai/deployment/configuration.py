"""Options of Airflow's configuration: the section ``[runai]``, and whether tasks defer."""

from __future__ import annotations

import os
from configparser import ConfigParser

from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowConfigException

from airflow_runai.core.options import OPTIONS, SECTION
from airflow_runai.errors import InvalidArgument

_OPERATORS, _DEFERRABLE = "operators", "default_deferrable"


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


def is_on(name: str) -> bool:
    """
    Return an option that is true or false.

    :raises InvalidArgument: if it is neither.
    """
    try:
        return bool(conf.getboolean(SECTION, name, fallback=OPTIONS[name]["default"]))
    except AirflowConfigException:
        raise InvalidArgument(
            [f"[{SECTION}] {name}: {option(name)!r}; allowed: true or false"]
        ) from None


def deferrable(own: bool | None) -> bool:
    """
    Return whether a task waits on the triggerer: its own setting, else the site's, else ``True``.

    The site's setting is ``[operators] default_deferrable`` in the environment or ``airflow.cfg``.
    Airflow ships ``false``, so a default does not count, even in the file that Airflow writes at
    its first start. Airflow takes commands and secrets for sensitive options only, which this is
    not; so none is run or looked up here either.

    :raises InvalidArgument: if the site's setting is not a boolean.
    """
    if own is not None:
        return own
    if not _is_set(_OPERATORS, _DEFERRABLE):
        return True
    try:
        return bool(conf.getboolean(_OPERATORS, _DEFERRABLE))
    except AirflowConfigException:
        text = conf.get(_OPERATORS, _DEFERRABLE)
        raise InvalidArgument(
            [f"[{_OPERATORS}] {_DEFERRABLE}: {text!r}; allowed: true or false"]
        ) from None


def _is_set(section: str, name: str) -> bool:
    """Return whether someone has set an option of Airflow, rather than Airflow itself."""
    if f"AIRFLOW__{section}__{name}".upper() in os.environ:
        return True
    # Airflow's own `has_option` also finds defaults; that of its base class only what was read.
    if not ConfigParser.has_option(conf, section, name):
        return False
    options = conf.configuration_description[section]["options"]
    # A file that Airflow has generated holds the default of each option.
    is_generated = all(ConfigParser.has_option(conf, section, option) for option in options)
    return not is_generated or conf.get(section, name) != options[name]["default"]


def max_map_length() -> int:
    """Return how many instances of a mapped task Airflow allows."""
    return int(conf.getint("core", "max_map_length"))
