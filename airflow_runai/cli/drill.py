"""``airflow runai drill``: passes its arguments to the drill, which has a parser of its own."""

from __future__ import annotations

import argparse
from argparse import Namespace

from airflow_runai.cli.exit_codes import command


@command
def main(arguments: Namespace) -> int:
    """Parse the drill's arguments, and run it."""
    # Imported here: the drill brings the emulator, which no other command needs.
    from airflow_runai.drill.command import configure, run

    parser = argparse.ArgumentParser("airflow runai drill")
    configure(parser)
    return run(parser.parse_args(arguments.arguments))
