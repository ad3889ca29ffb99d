"""
The rig on the command line: ``python -m tests.rig build | up | status | down | restart NAME | expire-history``.

A cluster that ``up`` started lives on until ``down``; the other commands find it by its folder.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.rig import building, faults
from tests.rig.api import ApiError
from tests.rig.cluster import Cluster, Options, RigError
from tests.rig.processes import ROOT, marked, sweep

FOLDER = ROOT / ".rig"


def main(words: Sequence[str] | None = None) -> int:
    """Run one command; return the exit status."""
    arguments = _parser().parse_args(words)
    command: Callable[[argparse.Namespace], int | None] = arguments.command
    try:
        return command(arguments) or 0
    except (RigError, ApiError) as error:
        print(f"rig: {error}", file=sys.stderr)
        return 1


def _up(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.folder.resolve()
    if marked(folder):
        raise RigError(f"{folder}: a cluster runs already. See `status`, or end it with `down`")
    if folder.exists() and any(folder.iterdir()):
        # Its processes are gone, after a reboot for example; its folder may be removed.
        Cluster.attach(folder)
        sweep(folder)
    options = Options(
        kai=not arguments.no_kai,
        jobset=not arguments.no_jobset,
        kueue=not arguments.no_kueue,
        eviction_condition=arguments.eviction_condition,
    )
    began = time.monotonic()
    cluster = Cluster(options, folder=folder).start()
    cluster.detach()
    print(f"ready after {time.monotonic() - began:.1f} s: {cluster.site.server}")
    print(f"export KUBECONFIG={cluster.kubeconfig()}")
    print(f"kubectl is in {Path(sys.executable).parent}; logs are in {cluster.folder / 'logs'}")


def _status(arguments: argparse.Namespace) -> int:
    cluster = Cluster.attach(arguments.folder)
    down = 0
    for name in cluster.parts:
        process = cluster.processes.find(name)
        down += process is None
        state = (
            f"pid {process.pid}, {process.memory_info().rss >> 20} MiB"
            if process
            else "does not run"
        )
        print(f"{name:<26} {state}")
    parts = [cluster.processes.find(name) for name in cluster.parts]
    others = set(marked(cluster.folder)) - {part for part in parts if part}
    print(f"{'processes of containers':<26} {len(others)}")
    return 1 if down else 0


def _down(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.folder.resolve()
    try:
        Cluster.attach(folder).close()
    except RigError:
        if not marked(folder):  # never remove a folder that is not a cluster's
            raise
        sweep(folder)


def _restart(arguments: argparse.Namespace) -> None:
    Cluster.attach(arguments.folder).restart(arguments.name)


def _expire_history(arguments: argparse.Namespace) -> None:
    faults.expire_history(Cluster.attach(arguments.folder))


def _build(arguments: argparse.Namespace) -> int:
    return building.main()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.rig", description="A real Kubernetes for tests."
    )
    parser.add_argument(
        "--folder", type=Path, default=FOLDER, help="where the cluster lies (default: .rig)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    table: dict[str, tuple[Callable[[argparse.Namespace], int | None], str]] = {
        "build": (_build, "build the programs, as `make rig` does"),
        "up": (_up, "start a cluster"),
        "status": (_status, "show its parts; exit status 1 if one does not run"),
        "down": (_down, "end it and remove its folder"),
        "restart": (_restart, "end a part and start it again"),
        "expire-history": (_expire_history, "let all versions that clients know answer 410"),
    }
    added = {}
    for name, (command, about) in table.items():
        added[name] = commands.add_parser(name, help=about)
        added[name].set_defaults(command=command)
    added["restart"].add_argument("name", help="such as kube-apiserver, kueue or kubelet-node-0")
    for extension in ("kai", "jobset", "kueue"):
        added["up"].add_argument(f"--no-{extension}", action="store_true")
    added["up"].add_argument(
        "--eviction-condition", action="store_true", help="KAI marks the pods that it evicts"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
