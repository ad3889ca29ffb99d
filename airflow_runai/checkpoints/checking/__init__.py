"""What one check of a checkpoint asks, finds and concludes: from findings to a verdict."""
