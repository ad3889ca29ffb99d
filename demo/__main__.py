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
    """Tell the story in a directory of its own; return 0 if everything was as promised."""
    root = Path(tempfile.mkdtemp(prefix="runai-demo-"))
    ground, account = Playground(root, database=database), Account()
    good = False
    try:
        account.say(
            "demo", f"Airflow on {ground.airflow_url}, the embedded Run:ai on {ground.runai_url}"
        )
        ground.start()
        good = Story(ground, account).tell()
    except (NotReady, RunaiError) as error:
        print(
            f"\nThe demonstration failed: {error}\n\nAirflow's last words:\n{ground.tail('airflow')}",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print("\ninterrupted", file=sys.stderr)
    finally:
        ground.stop()
    if good and not keep:
        shutil.rmtree(root, ignore_errors=True)
    else:
        print(f"\nEverything is kept in {root}")
    print("\nAll of it happened as told." if good else "\nNot as told.")
    return 0 if good else 1


def up() -> int:
    """Leave both running to click around; return when both answer."""
    if _known().lives:
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
        # What never started has no last words; the log may be an earlier one's.
        words = f"\n{ground.tail('airflow')}" if ground.processes else ""
        ground.stop()
        STATE.unlink(missing_ok=True)
        print(f"not up: {error or 'interrupted'}{words}", file=sys.stderr)
        return 1
    login = f"#client_id={DEFAULT_CLIENT_ID}&client_secret={DEFAULT_CLIENT_SECRET}"
    print(f"Airflow            {ground.airflow_url}   (no login; trigger digits_from_ui)")
    print(f"embedded Run:ai    {ground.runai_url}/{login}")
    print("`make down` stops both; what they did stays in .demo until `make clean`.")
    return 0


def _ground(processes: dict[str, int] | None = None) -> Playground:
    return Playground(HOME, airflow_port=8080, runai_port=8710, processes=processes or {})


def _known() -> Playground:
    """Return what an earlier :func:`up` has started; nothing lives there if it never did, or a restart ended it."""
    return _ground(json.loads(STATE.read_text()) if STATE.exists() else {})


def down() -> int:
    """Stop what :func:`up` started."""
    if not STATE.exists():
        print("not up", file=sys.stderr)
        return 0
    _known().stop()
    STATE.unlink()
    print("stopped")
    return 0


def main() -> int:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    story = commands.add_parser("run", help="tell the story and exit")
    story.add_argument(
        "--keep", action="store_true", help="keep logs, checkpoints and Airflow's home"
    )
    story.add_argument(
        "--database", default="", help="Airflow's database (default: a SQLite file of its own)"
    )
    commands.add_parser("up", help="leave Airflow and the embedded Run:ai running")
    commands.add_parser("down", help="stop what `up` started")
    chosen = parser.parse_args()
    return (
        run(chosen.keep, chosen.database)
        if chosen.command == "run"
        else up()
        if chosen.command == "up"
        else down()
    )


if __name__ == "__main__":
    raise SystemExit(main())
