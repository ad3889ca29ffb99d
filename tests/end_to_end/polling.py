"""Waiting for what a real Airflow does."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from tests import polling

T = TypeVar("T")


def wait_until(look: Callable[[], T | None], what: str) -> T:
    """Look until something true is seen, and return it; not often, because each look costs Airflow some work."""
    return polling.wait_until(look, what, pause=0.2)
