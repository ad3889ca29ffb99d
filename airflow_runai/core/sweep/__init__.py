"""Sets of runs: what is tried, under which names, and which one is best."""
