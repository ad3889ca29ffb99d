"""
`make oracles`: lets this environment import the real libraries that adapters and formats are compared with.

They are 3 GB to download and 6 GB on the disk, and not every index lets pip keep a copy. So they
lie in a cache outside the checkout, whole or not at all, and an environment only points there: a
fresh clone has them in seconds.
"""

from __future__ import annotations

import importlib.metadata
import subprocess
import sys
import sysconfig
import time
from collections.abc import Sequence
from pathlib import Path

from packaging.requirements import Requirement

from tests.rig.cache import HEARTBEAT, Cache, default_folder, key, size

__all__ = ["OraclesError", "main", "provide", "wanted"]

CONSTRAINTS = Path(__file__).parents[1] / "constraints.txt"
_TRIES = 2  # pip begins no broken download again


class OraclesError(Exception):
    """Why there are no real libraries: one sentence."""


def wanted() -> list[str]:
    """Return the requirements of the extra `oracles` that hold for this Python and platform."""
    found = map(Requirement, importlib.metadata.requires("airflow-provider-runai") or ())
    return [
        f"{one.name}{one.specifier}"
        for one in found
        if one.marker
        and one.marker.evaluate({"extra": "oracles"})
        and not one.marker.evaluate({"extra": ""})
    ]


def provide(requirements: Sequence[str], cache: Cache, site: Path) -> Path:
    """
    Let the environment whose packages lie in ``site`` import them from the cache; what it has itself goes first.

    :return: the folder in the cache.
    :raises OraclesError: if pip cannot install them; pip said why.
    """
    name = key(
        [CONSTRAINTS.read_bytes(), *map(str.encode, requirements)],
        f"{sys.version} {sysconfig.get_platform()}",
    )
    with cache.lock(_say) as lock:
        folder = cache.find(name) or _fill(requirements, cache, name, lock)
        cache.remove_others(name)
    (site / "runai-oracles.pth").write_text(f"{folder}\n")
    return folder


def main() -> int:
    """Provide them on the command line; return the exit status."""
    cache = Cache(default_folder().with_name("oracles"))
    try:
        _say(f"ready: {provide(wanted(), cache, Path(sysconfig.get_path('purelib')))}")
    except (OraclesError, OSError) as error:
        print(f"make oracles: {error}", file=sys.stderr)
        return 1
    return 0


def _fill(requirements: Sequence[str], cache: Cache, name: str, lock: int) -> Path:
    began = time.monotonic()
    with cache.filling() as unfinished:
        if not any(_installed(requirements, unfinished, lock) for _ in range(_TRIES)):
            raise OraclesError(f"pip cannot install {', '.join(requirements)}; above it says why")
        folder = cache.publish(unfinished, name)
    _say(f"installed: {size(folder) // 1_000_000} MB, {time.monotonic() - began:.0f} s")
    return folder


def _installed(requirements: Sequence[str], into: Path, lock: int) -> bool:
    # Compiled is what is imported, when it is: a tenth of it.
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-compile",
    ]
    began = time.monotonic()
    with subprocess.Popen(
        [*pip, "--constraint", CONSTRAINTS, "--target", into, *requirements], pass_fds=(lock,)
    ) as process:
        while True:
            try:
                return process.wait(HEARTBEAT) == 0
            except subprocess.TimeoutExpired:
                _say(f"downloading and unpacking, {time.monotonic() - began:.0f} s")


def _say(text: str) -> None:
    print(f"oracles: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
