"""Airflow-facing hooks."""
