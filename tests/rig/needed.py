"""
What a test marked `rig` does where the rig is not built: it is skipped, by name; ``RUNAI_REQUIRE_RIG=1``: it fails.

A ``conftest.py`` whose tests carry the mark imports :func:`pytest_runtest_setup` from here.
"""

from __future__ import annotations

import functools
import os

import pytest

from tests.rig.building import programs

__all__ = ["pytest_runtest_setup"]

NOT_BUILT = "the rig is not built: run `make rig` (needs Go; 15 minutes, once)"


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let no test begin that needs what is not there."""
    if item.get_closest_marker("rig") is None or _built():
        return
    if os.environ.get("RUNAI_REQUIRE_RIG") == "1":
        pytest.fail(NOT_BUILT, pytrace=False)
    item.add_marker(pytest.mark.skip(reason=NOT_BUILT))


@functools.cache
def _built() -> bool:
    return programs() is not None
