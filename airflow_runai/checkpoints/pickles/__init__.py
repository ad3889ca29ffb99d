"""Pickles, interpreted without importing, calling or building anything that they name."""
