"""``airflow runai drill``: hands its words to the drill, which has a parser of its own and knows no Airflow."""

from __future__ import annotations

import argparse
from argparse import Namespace

from airflow_runai.cli.exit_codes import command


@command
def main(arguments: Namespace) -> int:
    """Read the drill's own words, and run it."""
    # Imported here: the drill brings the emulator, which no other command needs.
    from airflow_runai.drill.command import configure, run

    parser = argparse.ArgumentParser("airflow runai drill")
    configure(parser)
    return int(run(parser.parse_args(arguments.arguments)))
