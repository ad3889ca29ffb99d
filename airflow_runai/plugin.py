"""The Airflow plugin: what the provider adds to Airflow's UI beyond its connection form and link."""

from __future__ import annotations

from airflow.sdk.plugins_manager import AirflowPlugin


class RunaiPlugin(AirflowPlugin):
    """Registered through the entry point ``airflow.plugins``."""

    name = "runai"
