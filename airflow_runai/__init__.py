"""Apache Airflow provider for unattended, preemptible training on NVIDIA Run:ai."""

__version__ = "0.1.0"
