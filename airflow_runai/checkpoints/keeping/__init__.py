"""What happens to checkpoints after they were judged: champion, leases, quarantine, retention, removal."""
