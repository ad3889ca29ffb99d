"""Decorators for functions of a DAG file."""
