"""The parts of the scheduler; ``airflow_runai.emulator.scheduler`` is its door."""
