"""``python -m tests.scheduling FILE…``: play recorded scenarios and count equal decisions."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from tests.scheduling.playing import play
from tests.scheduling.scenario import read


def main(argv: Sequence[str] | None = None) -> int:
    """
    Play the files.

    :return: 0 if all were played, whatever the score; 2 if a file is not a scenario.
    """
    parser = argparse.ArgumentParser(prog="python -m tests.scheduling", description=__doc__)
    parser.add_argument(
        "--without-flaws",
        action="store_true",
        help="decide as the embedded Run:ai does, not as KAI where it is wrong",
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    arguments = parser.parse_args(argv)
    for file in arguments.files:
        try:
            score = play(read(file), flaws=not arguments.without_flaws)
        except ValueError as error:
            print(f"{parser.prog}: error: {error}", file=sys.stderr)
            return 2
        print(json.dumps({"file": str(file), **asdict(score)}), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
