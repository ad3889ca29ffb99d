"""
``airflow runai …``: commands to use before, beside and after a training, from a shell.

One file a command. Nothing imports this folder; it may import all others. Nothing is decided here:
``core`` knows what a line, a template, a finding or a phase means, ``backends`` what a server says.
"""
