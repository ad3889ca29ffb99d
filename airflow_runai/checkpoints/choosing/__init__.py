"""Chooses a checkpoint: candidates under a root, each checked, newest first."""
