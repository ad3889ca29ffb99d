"""The parts of the scheduler; use ``airflow_runai.emulator.scheduler``."""
