"""Which checkpoint it is to be: candidates under a root, each checked, newest first."""
