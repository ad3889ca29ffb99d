"""Chains of this provider's operators as one call."""
