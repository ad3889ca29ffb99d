"""Tests marked `rig` need what `make rig` builds."""

from __future__ import annotations

from tests.rig.needed import pytest_runtest_setup

__all__ = ["pytest_runtest_setup"]
