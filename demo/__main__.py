"""``python -m demo run | up | down``: what ``make demo``, ``make up`` and ``make down`` call."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from pathlib import Path

from airflow_runai.emulator.settings import DEFAULT_CLIENT_ID, DEFAULT_CLIENT_SECRET
from airflow_runai.errors import RunaiError
from demo.account import Account
from demo.playground import REPOSITORY, NotReady, Playground
from demo.story import DAG_ID, Story

HOME = REPOSITORY / ".demo"
STATE = HOME / "up.json"


def run(keep: bool, database: str) -> int:
    """Play the story in a directory of its own; return 0 if all promises hold."""
    root = Path(tempfile.mkdtemp(prefix="runai-demo-"))
    ground = Playground(root, database=database)
    holds = False
    try:
        holds = _play(ground)
    except (NotReady, RunaiError) as error:
        print(f"\nThe demonstration failed: {error}", file=sys.stderr)
        print(f"\nThe end of Airflow's log:\n{ground.tail('airflow')}", file=sys.stderr)
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    finally:
        ground.stop()
    if holds and not keep:
        shutil.rmtree(root, ignore_errors=True)
    else:
        print(f"\nLogs, checkpoints and Airflow's home are kept in {root}")
    print("\nAll promises hold." if holds else "\nNot all promises hold.")
    return 0 if holds else 1


def _play(ground: Playground) -> bool:
    account = Account()
    where = f"Airflow on {ground.airflow_url}, the embedded Run:ai on {ground.runai_url}"
    account.say("demo", where)
    ground.start()
    return Story(ground, account).play()


def up() -> int:
    """Start both for a look around; return when both answer."""
    if _started().lives:
        print("already up; `make down` stops it", file=sys.stderr)
        return 1
    HOME.mkdir(exist_ok=True)
    ground = _ground()
    try:
        ground.start()
        STATE.write_text(json.dumps(ground.processes))
        print("Airflow is starting (30 to 70 seconds) …", flush=True)
        ground.wait_for_airflow(DAG_ID)
    except (NotReady, KeyboardInterrupt) as error:
        # Without processes of ours, the log is of an earlier start.
        log = f"\n{ground.tail('airflow')}" if ground.processes else ""
        ground.stop()
        STATE.unlink(missing_ok=True)
        print(f"not up: {error or 'interrupted'}{log}", file=sys.stderr)
        return 1
    login = f"#client_id={DEFAULT_CLIENT_ID}&client_secret={DEFAULT_CLIENT_SECRET}"
    print(f"Airflow            {ground.airflow_url}   (no login; trigger digits_from_ui)")
    print(f"embedded Run:ai    {ground.runai_url}/{login}")
    print("`make down` stops both; their files stay in .demo until `make clean`.")
    return 0


def _ground(processes: dict[str, int] | None = None) -> Playground:
    return Playground(HOME, airflow_port=8080, runai_port=8710, processes=processes or {})


def _started() -> Playground:
    """Return the playground of an earlier :func:`up`, whose processes may have ended since."""
    return _ground(json.loads(STATE.read_text()) if STATE.exists() else {})


def down() -> int:
    """Stop the processes that :func:`up` started."""
    if not STATE.exists():
        print("not up", file=sys.stderr)
        return 0
    _started().stop()
    STATE.unlink()
    print("stopped")
    return 0


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
    commands.add_parser("up", help="leave Airflow and the embedded Run:ai running")
    commands.add_parser("down", help="stop the processes that `up` started")
    arguments = parser.parse_args()
    if arguments.command == "run":
        return run(arguments.keep, arguments.database)
    return up() if arguments.command == "up" else down()


if __name__ == "__main__":
    raise SystemExit(main())
