"""What preempted pods said before they left is read in time, however slow the control plane is."""

from __future__ import annotations

from typing import Any

from tests.benchmarks import faulty_wire, supervisor, virtual_loop
from tests.benchmarks.faulty_server import Fault
from tests.benchmarks.waiting import Waiting
from tests.benchmarks.waiting_scenarios import Scenario

#: Each answer of the control plane takes 2 s, so it tells four histories a second; each pod stays
#: for 10 s, and lists are read every 10 s.
STORM = Scenario(
    "storm-logs",
    waits=40,
    preempted=40,
    get_logs="tail",
    settle=30.0,
    window=120.0,
    faults=(Fault("slow", 0.0, 60.0, everything=True, seconds=2.0),),
)


def test_in_a_storm_logs_are_read_before_their_pods_leave() -> None:
    async def play(loop: virtual_loop.VirtualLoop) -> tuple[set[str], set[str]]:
        waiting: Any = Waiting(STORM, loop)
        with faulty_wire.installed(waiting.wire), supervisor.installed(waiting.airflow):
            await waiting.figures()
        return waiting.server.logs, {row.name for row in waiting.waited}

    read, preempted = virtual_loop.run(play, counts_work=False)
    assert read <= preempted
    # Those that left before the first list showed it, while that was on its way, cannot be had.
    assert len(read) >= 0.8 * STORM.preempted
