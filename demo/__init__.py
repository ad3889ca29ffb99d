"""The demonstration: a real Airflow and an embedded Run:ai on one machine, and the story told with them."""
