"""From an Airflow connection to a conversation with Run:ai, blocking or on the event loop."""
