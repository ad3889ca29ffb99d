"""
Hears a person's marks where they arrive, and lets the workloads of ended tasks end.

For the windows in which no trigger and no worker listens. ``hearing`` is imported by every Airflow
process and stays cheap; ``errands`` is the thread behind it; ``ending`` does the work, and
``rendered`` tells it the connection: both are imported by the first errand.
"""
