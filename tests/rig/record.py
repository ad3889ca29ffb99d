"""
What a cluster is made of, and the file in its folder by which another process takes hold of it.
"""

from __future__ import annotations

import json
import threading
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.rig.building import Programs
from tests.rig.parts import Site
from tests.rig.waiting import RigError

__all__ = ["Options", "read", "write"]

FILE = "cluster.json"
#: Nodes come and go in several threads, and each of them writes the cluster down.
_WRITING = threading.Lock()
EXTENSIONS = ("kai", "jobset", "kueue")


@dataclass(frozen=True)
class Options:
    """
    What a cluster is made of.

    :param eviction_condition: KAI's scheduler marks the pods that it evicts, as with
        ``--update-pod-eviction-condition=true``.
    :param gpus: GPUs of the first node, ``node-0``.
    """

    kai: bool = True
    jobset: bool = True
    kueue: bool = True
    eviction_condition: bool = False
    gpus: int = 2

    @property
    def extensions(self) -> list[str]:
        """Which of KAI, JobSet and Kueue are in it."""
        return [name for name in EXTENSIONS if getattr(self, name)]


def write(options: Options, site: Site) -> None:
    """Write down a cluster, whole or not at all."""
    with _WRITING:
        record = {
            "options": asdict(options),
            "ports": dict(site.ports),
            "programs": str(site.programs.folder),
            "kai": str(site.kai_home),
        }
        unfinished = site.folder / f"{FILE}.new"
        unfinished.write_text(json.dumps(record, indent=1))
        unfinished.replace(site.folder / FILE)


def read(folder: Path) -> tuple[Options, Site]:
    """
    Read what :func:`write` wrote.

    :raises RigError: if that is not there.
    """
    try:
        record = json.loads((folder / FILE).read_text())
        site = Site(
            folder, Programs(Path(record["programs"])), Path(record["kai"]), record["ports"]
        )
        return Options(**record["options"]), site
    except (OSError, ValueError, KeyError, TypeError):
        raise RigError(
            f"{folder}: there is no cluster here. `python -m tests.rig up` starts one"
        ) from None
