"""
`make rig`: builds a real Kubernetes control plane, JobSet and Kueue from their Go modules, and finds what was built.

One folder in ``programs/`` is one family: a ``go.mod`` whose `tool` lines name the programs. The
families stay apart because they need different versions of the same libraries. Nothing is run here,
and tests never build: 15 minutes on two cores are for a person, or for CI, to spend.
"""

from __future__ import annotations

import errno
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.rig import room
from tests.rig.cache import Cache, default_folder, key, size
from tests.rig.go import INTERRUPTS, RECIPE, STRIPPED, BuildError, Go

__all__ = ["BuildError", "Inputs", "Programs", "build", "main", "programs"]

_LAYOUT = "1"  # of the result; raise it when what lies where changes
#: Whose manifests belong to a family, by the family's name.
_MODULES = {"jobset": "sigs.k8s.io/jobset", "kueue": "sigs.k8s.io/kueue"}
_RENAMED = {"server": "etcd"}  # Go names a program after the last part of its path
_MB = 1_000_000
# Go keeps all that it compiles for a family beside the result until that is linked.
_SCRATCH = 3000 * _MB


@dataclass(frozen=True)
class Inputs:
    """
    What a build depends on; the defaults build the rig.

    :param families: folder of the families.
    :param cache: where the result goes.
    :param go: name or path of the `go` command.
    :param result_bytes: room that the result needs.
    :param go_bytes: room that Go's own caches need when they are empty.
    """

    families: Path = Path(__file__).parent / "programs"
    cache: Path = field(default_factory=default_folder)
    go: str = "go"
    result_bytes: int = 500 * _MB
    go_bytes: int = 7000 * _MB

    def find_go(self) -> Go:
        """Return a Go that is new enough for every family, or raise :class:`BuildError`."""
        asked = [re.search(r"^go (\d+)\.(\d+)", text, re.M) for text in self._texts("go.mod")]
        return Go.find(self.go, max((int(found[1]), int(found[2])) for found in asked if found))

    def key(self, compiler: str | None) -> str:
        """Return the name of the result: a digest of sources, flags and compiler; no compiler stands for any."""
        sources = [*self._texts("go.mod"), *self._texts("go.sum"), _LAYOUT, RECIPE]
        return key([source.encode() for source in sources], compiler)

    def names(self) -> list[str]:
        """Return the families."""
        return sorted(path.parent.name for path in self.families.glob("*/go.mod"))

    def _texts(self, file: str) -> list[str]:
        return [path.read_text() for path in sorted(self.families.glob(f"*/{file}"))]


@dataclass(frozen=True)
class Programs:
    """What was built."""

    folder: Path

    def path(self, program: str) -> Path:
        """Return a program: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, jobset, kueue."""
        return self._existing(self.folder / "bin" / program)

    def crds(self, family: str) -> list[Path]:
        """Return the files that define a family's kinds: YAML, one definition each."""
        return sorted(self._existing(self.folder / "manifests" / family / "crds").glob("*.yaml"))

    def webhooks(self, family: str) -> Path:
        """Return the file with a family's webhook configurations: YAML, several documents."""
        return self._existing(self.folder / "manifests" / family / "webhooks.yaml")

    def _existing(self, path: Path) -> Path:
        if path.exists():
            return path
        found = ", ".join(sorted(p.name for p in path.parent.glob("*"))) or "nothing"
        raise LookupError(f"the rig has no {path.name} in {path.parent}; it has {found}")


def programs(inputs: Inputs | None = None) -> Programs | None:
    """
    Return what `make rig` built from today's sources, or None; builds nothing.

    A machine whose Go cannot build the rig, or that has none, takes what any other Go built from
    the same sources.
    """
    inputs = inputs or Inputs()
    try:
        compiler = inputs.find_go().version
    except BuildError:
        compiler = None
    found = Cache(inputs.cache).find(inputs.key(compiler))
    return Programs(found) if found else None


def build(inputs: Inputs | None = None) -> Programs:
    """Build the programs unless they are there already; a sentence on standard output at least every 15 s."""
    inputs = inputs or Inputs()
    found = programs(inputs)
    if found:
        return _told(found)
    go = inputs.find_go()
    with _one_sentence(inputs.cache):
        return _build(inputs, go)


def main(inputs: Inputs | None = None) -> int:
    """Build on the command line; return the exit status."""
    for number in INTERRUPTS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        build(inputs)
    except BuildError as error:
        print(f"make rig: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "make rig: interrupted; nothing half-built is kept, run `make rig` again to go on",
            file=sys.stderr,
        )
        return 1
    return 0


def _interrupt(number: int, frame: object) -> None:
    for other in INTERRUPTS:  # once is enough: what follows only tidies up
        signal.signal(other, signal.SIG_IGN)
    raise KeyboardInterrupt


def _build(inputs: Inputs, go: Go) -> Programs:
    cache, name = Cache(inputs.cache), inputs.key(go.version)
    with cache.lock(_say) as lock:
        found = cache.find(name)  # by somebody who held the lock until now
        if found:
            return _told(Programs(found))
        began = time.monotonic()
        _check_room(inputs, go)
        with cache.filling() as unfinished:
            for family in inputs.names():
                _build_family(go, inputs.families / family, unfinished, lock)
            folder = cache.publish(unfinished, name)
        _say(f"done: {folder}, {size(folder) // _MB} MB, {time.monotonic() - began:.0f} s")
        for old in cache.remove_others(name):
            _say(f"removed what other sources or another Go had built: {old}")
    return Programs(folder)


def _check_room(inputs: Inputs, go: Go) -> None:
    caches = go.caches()
    lacking = room.lacking(caches, inputs.go_bytes)
    room.check({caches[0]: lacking, inputs.cache: inputs.result_bytes + min(lacking, _SCRATCH)})


def _build_family(go: Go, family: Path, unfinished: Path, lock: int) -> None:
    began = time.monotonic()
    binaries = unfinished / "bin"
    binaries.mkdir(exist_ok=True)
    before = size(binaries)
    _say(f"{family.name}: building")
    go.build(family, binaries, _linker_flags(family), lock, _say)
    for given, usual in _RENAMED.items():
        if (binaries / given).exists():
            (binaries / given).rename(binaries / usual)
    _copy_manifests(go, family, unfinished / "manifests" / family.name)
    _say(
        f"{family.name}: built, {time.monotonic() - began:.0f} s, {(size(binaries) - before) // _MB} MB"
    )


def _linker_flags(family: Path) -> str:
    # Without a version `kubectl version` fails against the API server.
    found = re.search(
        r"^\s*k8s\.io/kubernetes (v(\d+)\.(\d+)\.\S+)", (family / "go.mod").read_text(), re.M
    )
    if not found:
        return STRIPPED
    values = zip(("gitVersion", "gitMajor", "gitMinor"), found.groups(), strict=True)
    return " ".join(
        [STRIPPED, *(f"-X k8s.io/component-base/version.{name}={value}" for name, value in values)]
    )


def _copy_manifests(go: Go, family: Path, into: Path) -> None:
    if family.name not in _MODULES:
        return
    source = go.module_folder(_MODULES[family.name], family) / "config" / "components"
    (into / "crds").mkdir(parents=True)
    for crd in (source / "crd" / "bases").glob("*.yaml"):
        shutil.copyfile(crd, into / "crds" / crd.name)
    shutil.copyfile(source / "webhook" / "manifests.yaml", into / "webhooks.yaml")


@contextmanager
def _one_sentence(cache: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        place = error.filename or cache
        advice = (
            "make room"
            if error.errno in (errno.ENOSPC, errno.EDQUOT)
            else "name a folder that you may write to: RUNAI_RIG_CACHE"
        )
        raise BuildError(
            f"{place}: {os.strerror(error.errno or 0)}; {advice}, and run `make rig` again"
        ) from error


def _told(ready: Programs) -> Programs:
    _say(f"ready: {ready.folder}, {size(ready.folder) // _MB} MB")
    return ready


def _say(text: str) -> None:
    print(f"rig: {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
