"""The Airflow around us: its configuration, database, name on Run:ai and states of tasks."""
