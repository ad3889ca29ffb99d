"""A playground that stays: what ``make up``, ``make preempt`` and ``make down`` call."""

from __future__ import annotations

import json
import os
import shlex
import sys
from pathlib import Path

import httpx

from demo.platforms import RUNAI, NotReady, platform_named
from demo.playground import REPOSITORY, Playground

HOME = REPOSITORY / ".demo"
STATE = HOME / "up.json"
#: What makes `airflow` known to a shell.
ENVIRONMENT = HOME / "env"
#: A DAG whose presence proves that DAGs are parsed.
_FIRST_DAG = "digits_retraining"
_WHERE = """\
Airflow            {airflow}   (no login)
{platform}
DAGs               dags/           (a new file is found within ten seconds)
shared storage     .demo/shared    (containers call it /shared)
connection         runai_default   (in Airflow: Admin, Connections)
in a shell         . .demo/env     (makes `airflow` known to it)

Next: trigger digits_from_ui in Airflow, and take its GPU away with `make preempt` when it runs.
For a training of your own, follow docs/first-hour.md.
`make down` stops both; their files stay in .demo until `make clean`."""


def up(platform: str) -> int:
    """
    Start both for a look around; return when both answer, and say where everything is.

    :param platform: see :func:`platform_named`.
    """
    try:
        port, runai_port = _port("PORT", 8080), _port("RUNAI_PORT", 8710)
        chosen = platform_named(platform, HOME, runai_port)
        ground = Playground(HOME, chosen, port, shows_connection=True)
        if _started().lives:
            raise NotReady("it is up already; `make down` stops it")
        HOME.mkdir(exist_ok=True)
        return _begin(ground)
    except (NotReady, httpx.HTTPError, KeyboardInterrupt) as error:
        print(f"not started: {str(error) or 'interrupted'}", file=sys.stderr)
        print(f"Logs and Airflow's home are kept in {HOME}.", file=sys.stderr)
        return 1


def _begin(ground: Playground) -> int:
    try:
        ground.start()
        _remember(ground)
        print("Airflow is starting (30 to 70 seconds) …", flush=True)
        ground.wait_for_airflow(_FIRST_DAG)
        ground.platform.detach()
    except BaseException:
        if ground.processes:  # without any, the log is of an earlier start
            print(ground.tail("airflow"), file=sys.stderr)
        ground.stop()
        STATE.unlink(missing_ok=True)
        raise
    print(_WHERE.format(airflow=ground.airflow_url, platform=ground.platform.directions))
    return 0


def _port(variable: str, default: int) -> int:
    value = os.environ.get(variable) or str(default)
    if not value.isdecimal() or not 0 < int(value) < 2**16:
        raise NotReady(f"{variable}={value}: allowed: a port from 1 to 65535")
    return int(value)


def _remember(ground: Playground) -> None:
    runai_port = next(iter(ground.platform.ports.values()), 0)
    ports = {"airflow_port": ground.airflow_port, "runai_port": runai_port}
    about = {"platform": ground.platform.word, "processes": ground.processes}
    STATE.write_text(json.dumps(ports | about))
    lines = [f"export {name}={shlex.quote(text)}" for name, text in ground.airflow_settings.items()]
    path = f'export PATH={shlex.quote(str(Path(sys.executable).parent))}:"$PATH"'
    ENVIRONMENT.write_text("\n".join([path, *lines]) + "\n")


def _started() -> Playground:
    """Return the playground of an earlier :func:`up`, whose processes may have ended since."""
    known = json.loads(STATE.read_text()) if STATE.exists() else {}
    word, port = known.get("platform", RUNAI), known.get("runai_port", 0)
    return Playground(
        HOME,
        platform_named(word, HOME, port),
        known.get("airflow_port", 0),
        known.get("processes", {}),
    )


def preempt() -> int:
    """Take the GPUs away from all that runs; return 1 if nothing does."""
    ground = _started()
    if not ground.lives:
        print("not up; `make up` starts it", file=sys.stderr)
        return 1
    done = ground.platform.preempt()
    print("\n".join(done))
    if not done:
        print("nothing runs now", file=sys.stderr)
    return 0 if done else 1


def down() -> int:
    """Stop the processes that :func:`up` started."""
    if not STATE.exists():
        print("not up", file=sys.stderr)
        return 0
    _started().stop()
    STATE.unlink()
    print("stopped")
    return 0
