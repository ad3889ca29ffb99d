"""Keeps, moves and removes checkpoints: champion, leases, quarantine, retention."""
