"""Reads the ``[runai]`` section of Airflow's configuration."""

from __future__ import annotations

from airflow.sdk.configuration import conf

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
