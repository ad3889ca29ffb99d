"""What runs inside the training container; nothing here is imported by the Airflow side."""
