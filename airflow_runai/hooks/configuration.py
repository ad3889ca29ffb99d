"""Reads the ``[runai]`` section of Airflow's configuration."""

from __future__ import annotations

from airflow.sdk.configuration import conf

from airflow_runai.core.options import OPTIONS, SECTION
from airflow_runai.errors import SpecError


def option(name: str) -> str:
    """Return the configured text of an option, or its default."""
    return str(conf.get(SECTION, name, fallback=OPTIONS[name]["default"]))


def name_of_its_own() -> str:
    """
    Return the name of this Airflow, by which it ends workloads that no task of its own is known for.

    :raises SpecError: while it is the default, which another Airflow in the same project may have as well.
    """
    name = option("instance_name")
    if name == OPTIONS["instance_name"]["default"]:
        raise SpecError(
            [
                f"[{SECTION}] instance_name: {name!r} is what every Airflow is called by default, and orphans of this "
                "one are told from workloads of others by it; give it a name of its own"
            ]
        )
    return name


def seconds(name: str) -> float:
    """Return an option that counts seconds; raises :class:`SpecError` naming it if it is no number."""
    text = option(name)
    try:
        return float(text)
    except ValueError:
        raise SpecError([f"[{SECTION}] {name}: {text!r}; allowed: a number of seconds"]) from None
