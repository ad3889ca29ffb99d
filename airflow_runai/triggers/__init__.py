"""Airflow-facing triggers."""
