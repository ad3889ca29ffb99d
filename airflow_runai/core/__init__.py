"""
What things mean: specification, names, phases, clocks, outcomes, and conversations as flows.

Nothing here imports Airflow, reads a clock, draws a random number or opens a socket. The present
moment comes in as an argument or as part of a reply, always in epoch seconds. Whatever decides is
here; whatever waits or sends is in ``backends/drivers.py``.
"""
