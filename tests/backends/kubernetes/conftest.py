"""Tests marked `rig` need what `make rig` builds; others play on the model."""

from __future__ import annotations

from tests.model.conftest import stage
from tests.rig.needed import pytest_runtest_setup

__all__ = ["pytest_runtest_setup", "stage"]
