"""The simulation asks no database, but Airflow wants a home before it is imported: the one of ``tests/airflow``."""

from __future__ import annotations

from tests.airflow.conftest import HOME

__all__ = ["HOME"]
