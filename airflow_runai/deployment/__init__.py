"""The Airflow that we run in: its configuration, its database, its name on Run:ai, the states of its tasks."""
