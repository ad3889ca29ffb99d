"""A training as objects of Kubernetes: created, found, read, marked and deleted."""
