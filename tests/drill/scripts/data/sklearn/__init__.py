"""Stands in for scikit-learn, whose import takes longer than these trainings."""
