"""
An embedded Run:ai to try things on: the vendor's REST API, a small real scheduler, real processes.

It is the other party: it imports nothing of the rest of this package, and only tests, the demo and
the drill import it. It does not model performance, images or a cluster's resources.
"""

from __future__ import annotations

from airflow_runai.emulator.clock import RealClock, SteppedClock
from airflow_runai.emulator.faults import Fault
from airflow_runai.emulator.scripted import Scenario
from airflow_runai.emulator.server import Emulator, serve
from airflow_runai.emulator.settings import EmulatorSettings

__all__ = [
    "Emulator",
    "EmulatorSettings",
    "Fault",
    "RealClock",
    "Scenario",
    "SteppedClock",
    "serve",
]
