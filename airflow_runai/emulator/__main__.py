"""
``python -m airflow_runai.emulator``: run an embedded Run:ai until SIGTERM or SIGINT.

It only reads arguments and waits; ``EmulatorSettings`` checks them.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from airflow_runai.emulator.clock import RealClock, SteppedClock
from airflow_runai.emulator.server import Emulator
from airflow_runai.emulator.settings import (
    DEFAULT_CLIENT_ID,
    DEFAULT_CLIENT_SECRET,
    VERSIONS,
    EmulatorSettings,
)

_SHUTDOWN_SECONDS = 10.0
_EPILOG = f"""
Workloads become processes of this user on this machine: their command and args are run, their
image is ignored. SIGTERM and SIGINT end it: running workloads get SIGTERM and up to
{_SHUTDOWN_SECONDS:g} s, and are queued again for the next start with the same --state. Logs are in
STATE/logs/<workload>/<incarnation>.log. All calls but those for a token need a token.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """
    Run until SIGTERM or SIGINT.

    :return: 0 after an orderly end, 2 if it cannot start.
    """
    parser = _parser()
    arguments = parser.parse_args(argv)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    try:
        emulator = Emulator(_settings(arguments))
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    print(f"The embedded Run:ai listens on {emulator.url}", flush=True)
    stop.wait()
    emulator.close(grace=_SHUTDOWN_SECONDS)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m airflow_runai.emulator",
        description="An embedded Run:ai: REST API, a small real scheduler, real processes; "
        "no GPU, no cluster.",
        epilog=_EPILOG,
    )
    _add_address(parser)
    _add_tenant(parser)
    _add_behaviour(parser)
    return parser


def _add_address(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("who may talk to it")
    group.add_argument(
        "--host",
        default="127.0.0.1",
        help="address to listen on; not loopback only with --client-secret",
    )
    group.add_argument(
        "--port",
        type=int,
        default=8710,
        help="port; 0 takes a free one (default: %(default)s)",
    )
    group.add_argument(
        "--client-id",
        default=DEFAULT_CLIENT_ID,
        help="(default: %(default)s)",
    )
    group.add_argument(
        "--client-secret", help=f"(default, on loopback only: {DEFAULT_CLIENT_SECRET})"
    )
    group.add_argument(
        "--seed-token-life",
        type=float,
        default=3600,
        metavar="SECONDS",
        help="life of a token (default: %(default)s)",
    )


def _add_tenant(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("what there is")
    group.add_argument(
        "--project",
        action="append",
        metavar="NAME:GPUS",
        help="project and its quota, NAME@CLUSTER:GPUS for another cluster; limit and over-quota "
        "weight may follow, as in team-a:2,limit=4,weight=3; repeat (default: team-a:2 team-b:2)",
    )
    group.add_argument(
        "--cluster",
        action="append",
        metavar="NAME",
        help="cluster; repeat (default: embedded)",
    )
    group.add_argument(
        "--nodes",
        type=int,
        default=2,
        help="nodes of each cluster (default: %(default)s)",
    )
    group.add_argument(
        "--gpus-per-node",
        type=int,
        default=2,
        metavar="N",
        help="(default: %(default)s)",
    )
    _add_files(group)
    _add_cluster_names(group)
    group.add_argument(
        "--policy-max-gpus",
        type=int,
        metavar="N",
        help="refuse workloads with more GPUs per pod",
    )


def _add_cluster_names(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--image",
        action="append",
        default=[],
        metavar="PATTERN",
        help="image that can be pulled, such as registry/train:*; repeat (default: every image)",
    )
    for option, what in (("--secret", "secret"), ("--claim", "volume claim")):
        group.add_argument(
            option,
            action="append",
            metavar="NAME",
            help=f"{what} that exists; repeat (default: every one)",
        )


def _add_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--state",
        type=Path,
        metavar="DIR",
        help="keep state, logs and volumes here (default: nowhere)",
    )
    group.add_argument(
        "--volume",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="PVC claim, NFS or host path, or container path that is the local directory DIR; "
        "repeat",
    )


def _add_behaviour(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("how it behaves")
    group.add_argument(
        "--control-plane-version",
        default="2.24",
        metavar="V",
        help=f"one of {', '.join(VERSIONS)} (default: %(default)s)",
    )
    group.add_argument(
        "--clock",
        choices=("real", "stepped"),
        default="real",
        help="stepped: no processes, time moves by /_emulator/clock",
    )
    group.add_argument(
        "--grace",
        type=float,
        metavar="SECONDS",
        help="upper limit for every grace period",
    )


def _settings(arguments: argparse.Namespace) -> EmulatorSettings:
    return EmulatorSettings(
        host=arguments.host,
        port=arguments.port,
        projects=tuple(arguments.project or ("team-a:2", "team-b:2")),
        clusters=tuple(arguments.cluster or ("embedded",)),
        nodes=arguments.nodes,
        gpus_per_node=arguments.gpus_per_node,
        state=arguments.state.absolute() if arguments.state else None,
        volumes=dict(map(_volume, arguments.volume)),
        client_id=arguments.client_id,
        client_secret=arguments.client_secret,
        control_plane_version=arguments.control_plane_version,
        clock=SteppedClock() if arguments.clock == "stepped" else RealClock(),
        grace=arguments.grace,
        token_seconds=arguments.seed_token_life,
        policy_max_gpus=arguments.policy_max_gpus,
        images=tuple(arguments.image),
        secrets=_names(arguments.secret),
        claims=_names(arguments.claim),
    )


def _names(given: list[str] | None) -> tuple[str, ...] | None:
    return None if given is None else tuple(given)


def _volume(text: str) -> tuple[str, Path]:
    name, equals, directory = text.partition("=")
    if not name or not equals or not directory:
        raise ValueError(
            f"--volume: {text!r} is not NAME=DIR, such as /nfs/john=./john or data-claim=./data"
        )
    return name, Path(directory).absolute()


if __name__ == "__main__":
    sys.exit(main())
