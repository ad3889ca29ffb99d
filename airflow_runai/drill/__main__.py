"""``python -m airflow_runai.drill``: the drill without Airflow around it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from airflow_runai.drill import command


def main(arguments: Sequence[str] | None = None) -> int:
    """
    Run the command line.

    :param arguments: without the program's name; those of the process by default.
    :return: the exit code, see :func:`airflow_runai.drill.command.run`.
    """
    parser = argparse.ArgumentParser("python -m airflow_runai.drill")
    command.configure(parser)
    return command.run(parser.parse_args(arguments))


if __name__ == "__main__":
    sys.exit(main())
