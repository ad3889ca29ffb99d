"""``python -m demo run | up | preempt | down``: what ``make demo``, ``make up``, … call."""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import traceback
from pathlib import Path

from demo import visit
from demo.platforms import KUBERNETES, RUNAI, platform_named
from demo.playground import Playground

_NEXT = {
    RUNAI: """
Next: `make up` leaves Airflow and the embedded Run:ai running for you.
Then docs/first-hour.md: your own training, preempted by your own hand.""",
    KUBERNETES: """
Next: `make up PLATFORM=kubernetes` leaves Airflow and this Kubernetes running for you.
Then docs/on-kubernetes.md: your own cluster.""",
}


def run(platform: str, keep: bool, database: str) -> int:
    """Play the story in a directory of its own; return 0 if all promises hold."""
    root = Path(tempfile.mkdtemp(prefix="runai-demo-"))
    ground = Playground(root, platform_named(platform, root), database=database)
    holds = False
    try:
        holds = _play(ground)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    except Exception as error:  # one sentence, whatever it is; the rest is for who wants to know
        (root / "failure.txt").write_text(traceback.format_exc())
        if ground.processes:
            print(f"\nThe end of Airflow's log:\n{ground.tail('airflow')}", file=sys.stderr)
        print(f"\nThe demonstration failed: {error or type(error).__name__}", file=sys.stderr)
    finally:
        ground.stop()
    if holds and not keep:
        shutil.rmtree(root, ignore_errors=True)
    else:
        print(f"\nLogs, checkpoints and Airflow's home are kept in {root}")
    print(f"\nAll promises hold.\n{_NEXT[platform]}" if holds else "\nNot all promises hold.")
    return 0 if holds else 1


def _play(ground: Playground) -> bool:
    # These take a second, for which nobody who only preempts should wait.
    from demo.account import Account
    from demo.story import Story

    account = Account()
    account.say("demo", f"Airflow on {ground.airflow_url}, {ground.platform.place}")
    ground.start()
    return Story(ground, account).play()


def main() -> int:
    """Run the command that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    story = commands.add_parser("run", help="play the story and exit")
    story.add_argument(
        "--keep", action="store_true", help="keep logs, checkpoints and Airflow's home"
    )
    story.add_argument(
        "--database", default="", help="Airflow's database (default: a SQLite file of its own)"
    )
    up = commands.add_parser("up", help="leave Airflow and the platform running")
    for one in (story, up):
        one.add_argument(
            "--platform", choices=(RUNAI, KUBERNETES), default=RUNAI, help="default: %(default)s"
        )
    commands.add_parser("preempt", help="take the GPUs away from what runs in `up`")
    commands.add_parser("down", help="stop the processes that `up` started")
    arguments = parser.parse_args()
    if arguments.command == "run":
        return run(arguments.platform, arguments.keep, arguments.database)
    if arguments.command == "up":
        return visit.up(arguments.platform)
    return {"preempt": visit.preempt, "down": visit.down}[arguments.command]()


if __name__ == "__main__":
    raise SystemExit(main())
