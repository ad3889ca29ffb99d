"""The demo: a real Airflow and an embedded Run:ai on one machine, and a story that uses both."""
