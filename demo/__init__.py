"""The demonstration: a story with a real Airflow and an embedded Run:ai on one machine."""
