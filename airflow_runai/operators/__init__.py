"""Airflow-facing operators."""
