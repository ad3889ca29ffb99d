"""Logs of pods: the tail of one, and one after the other while they run."""
