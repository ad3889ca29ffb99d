"""Airflow-facing sensors."""
