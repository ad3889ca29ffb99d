"""What one task shares between its operator, its sensor, its trigger and the command line."""
