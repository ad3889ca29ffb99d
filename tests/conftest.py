"""What several kinds of tests need: an embedded Run:ai that lives by a stepped clock, and settings to reach it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import hypothesis
import pytest

from airflow_runai.backends.settings import Settings
from airflow_runai.emulator import Emulator, EmulatorSettings, Scenario, SteppedClock, serve

pytest_plugins = ["tests.rig.fixtures", "tests.support.skips", "tests.support.time_limits"]

# What decides whether a change lands must not depend on dice; everywhere else new examples are
# wanted.
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True)
hypothesis.settings.register_profile("anywhere", deadline=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "anywhere")

Serve = Callable[..., Emulator]
TRAINING = Scenario(run_seconds=100)


@pytest.fixture
def emulate() -> Iterator[Serve]:
    """Start emulators with settings of one's own; they end with the test."""
    with ExitStack() as open_ones:
        yield lambda **details: open_ones.enter_context(serve(_stepped(**details)))


@pytest.fixture(scope="session")
def _shared_emulator() -> Iterator[Emulator]:
    with serve(_stepped()) as emulator:
        yield emulator


@pytest.fixture
def emulator(_shared_emulator: Emulator) -> Iterator[Emulator]:
    """Return an emulator with two projects (``team-a``, ``team-b``) and scripted trainings of 100 s; empty at first."""
    yield _shared_emulator
    plane = _shared_emulator.plane
    with plane.lock:
        plane.faults.clear()
        plane.world.workloads.clear()
        plane.requests.clear()
        plane.scripted.set("train", TRAINING)


@pytest.fixture
def settings(emulator: Emulator) -> Settings:
    """Return settings that reach the emulator."""
    return settings_for(emulator)


def settings_for(emulator: Emulator, **more: Any) -> Settings:
    """Return settings that reach an emulator; without certificates, which take long to load and are not needed."""
    login = {"client_id": emulator.client_id, "client_secret": emulator.client_secret}
    return Settings(emulator.url, **{**login, "project": "team-a", "verify": False, **more})


def _stepped(**details: Any) -> EmulatorSettings:
    # It begins now, so that its moments fit those of the drivers.
    return EmulatorSettings(
        **{"clock": SteppedClock(time.time()), "scenarios": {"train": TRAINING}, **details}
    )


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Show what fuzzing tried; what a test prints itself is lost where several processes test side by side."""
    reports = [report for found in terminalreporter.stats.values() for report in found]
    lines = [
        value
        for report in reports
        for key, value in getattr(report, "user_properties", ())
        if key == "statistics"
    ]
    if lines:
        terminalreporter.section("fuzzing")
        terminalreporter.write_line("\n".join(sorted(set(lines))))
