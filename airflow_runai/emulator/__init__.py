"""
An embedded Run:ai to try things on: REST as the vendor's client speaks it, a small real scheduler, real processes.

It is the other party: it imports nothing of the rest of this package, and nothing but tests, the
demo and the drill imports it. It is not a model of performance, of images or of a cluster's
resources.
"""

from __future__ import annotations

from airflow_runai.emulator.clock import RealClock, SteppedClock
from airflow_runai.emulator.faults import Fault
from airflow_runai.emulator.scripted import Scenario
from airflow_runai.emulator.server import Emulator, serve
from airflow_runai.emulator.settings import EmulatorSettings

__all__ = [
    "Emulator",
    "Fault",
    "RealClock",
    "Scenario",
    "EmulatorSettings",
    "SteppedClock",
    "serve",
]
