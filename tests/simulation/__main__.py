"""``python -m tests.simulation SEED…`` prints the story of each seed; ``--shrink`` makes a failing one short first."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))


def main() -> int:
    """Play seeds, print stories or a summary; 1 if a promise was broken."""
    from tests.simulation.budget import spend
    from tests.simulation.campaign import campaign, hunt
    from tests.simulation.telling import tell

    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("seeds", nargs="*", type=int, help="seeds whose stories are told")
    parser.add_argument(
        "--shrink", action="store_true", help="make a failing history short before it is told"
    )
    parser.add_argument("--platform", default="runai", choices=("runai", "kubernetes"))
    parser.add_argument("--kind", default="", help="which violation a short story must keep")
    parser.add_argument(
        "--many", type=int, default=0, metavar="N", help="play N seeds, only count what was broken"
    )
    parser.add_argument(
        "--until", default="", metavar="KIND", help="with --many: stop at the first of this kind"
    )
    parser.add_argument("--first", type=int, default=0, metavar="SEED", help="where --many begins")
    parser.add_argument(
        "--requests", type=int, default=0, metavar="N", help="play N seeds, count what is sent"
    )
    parser.add_argument(
        "--package",
        type=Path,
        metavar="FOLDER",
        help="with --requests: compare with airflow_runai there",
    )
    parser.add_argument(
        "--fair", action="store_true", help="with --requests: nothing goes wrong, nobody interferes"
    )
    parser.add_argument(
        "--json",
        action="store_true",
        help="with --requests: one JSON list, an object for each seed",
    )
    told = parser.parse_args()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # stories hold halves of characters
    if told.requests:
        return spend(
            told.first, told.requests, fair=told.fair, package=told.package, as_json=told.json
        )
    if told.many and told.until:
        return hunt(told.first, told.many, told.until, told.platform)
    if told.many:
        return campaign(told.first, told.many, told.platform)
    if not told.seeds:
        parser.error("name a seed, or --many")
    kind, platform = told.kind, told.platform
    return max([tell(seed, kind, platform, short=told.shrink) for seed in told.seeds])


if __name__ == "__main__":
    sys.exit(main())
