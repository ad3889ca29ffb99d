"""The Kubernetes API as flows: paths, lists, writes, refusals, and what a token may do."""
