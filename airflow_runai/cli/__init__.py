"""
``airflow runai …``: what one asks before, beside and after a training, from a shell.

One file a command. Nothing imports this room; it may import all others. Nothing here decides
anything: what a line, a template, a finding or a phase means is known by ``core``, what a server
says by ``backends``.
"""
