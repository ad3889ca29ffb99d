"""
Ends the workloads of tasks that a person marks in Airflow, while no trigger or worker listens.

``listener`` is imported by every Airflow process and stays cheap; ``errands`` is the thread behind
it; ``marked_tasks`` does the work, and ``rendered_connection`` finds the connection: both are
imported by the first errand.
"""
