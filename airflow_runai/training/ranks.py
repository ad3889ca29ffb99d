"""
Several processes write one checkpoint, each its own part: published whole or not at all.

For state that is spread over ranks: sharded parameters, random generators. Where rank 0 holds
everything, ``save_checkpoint`` on rank 0 is simpler. Copy this file beside preemptible.py;
standard library only, Python 3.8 or newer; only ``any_rank`` needs PyTorch.

Each rank writes into a directory of its own within one temporary directory, and then a note of
its files with their sums, so that bytes are summed where they were written. Rank 0 puts them
together and publishes if the notes of all are there. A rank that fails says so in its note; one
that dies or lags is missed at a barrier. Either way nothing is published, every rank that lives
gets an error, and the next try starts in an empty directory. ``ROOT/.ranks`` tells the ranks
where to write and what came of it; in ``ROOT/.barrier/`` they meet if no barrier is given.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from airflow_runai.training import preemptible
else:
    try:
        import preemptible  # copied beside this file into the image
    except ModuleNotFoundError:
        from airflow_runai.training import preemptible

__all__ = ["FileBarrier", "NotPublished", "RankMissing", "Ranks", "any_rank", "save_shards"]

# torchrun and PyTorchJob, Open MPI, MPICH and Intel MPI, MVAPICH
_VARIABLES = (
    ("RANK", "WORLD_SIZE"),
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
)
_PARTS = ".parts"


class NotPublished(RuntimeError):
    """The ranks did not publish this step; the message says which one failed, and why."""


class RankMissing(NotPublished):
    """A rank did not come to a barrier in time: it died, hangs, or was started anew."""


class Ranks:
    """
    Who of how many this process is, and how they wait for each other.

    :param barrier: returns on each rank once all have called it, such as
        ``torch.distributed.barrier``; by default they meet by files in the root of the checkpoints.
    :param timeout: seconds to wait where they meet by files; the slowest rank's saving must fit.
    """

    def __init__(
        self,
        rank: int,
        world_size: int,
        barrier: Callable[[], object] | None = None,
        timeout: float = 600.0,
    ) -> None:
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} of {world_size}: expected 0 to {world_size - 1}")
        self.rank, self.world_size, self.timeout = rank, world_size, timeout
        self._barrier, self._broken = barrier, False

    @classmethod
    def from_environment(
        cls, barrier: Callable[[], object] | None = None, timeout: float = 600.0
    ) -> Ranks:
        """
        Ask the variables of torchrun, Open MPI, MPICH or MVAPICH; where there are none: one rank.
        """
        for names in _VARIABLES:
            rank, size = (os.environ.get(name) for name in names)
            if rank is None and size is None:
                continue
            if not (rank and size and rank.isdigit() and size.isdigit() and int(rank) < int(size)):
                raise ValueError(
                    f"environment {names[0]}={rank!r}, {names[1]}={size!r}: expected such as 0 and 4"
                )
            return cls(int(rank), int(size), barrier, timeout)
        return cls(0, 1, barrier, timeout)

    def check(self) -> None:
        """Refuse to begin a save after a barrier has failed: who is where is not known any more."""
        if self._broken:
            raise RankMissing("a barrier failed before; end all ranks, and start them together")

    def meet(self, root: Path) -> None:
        """Wait for the others; once that has failed, nobody is waited for in vain again."""
        if self._broken or self.world_size == 1:
            return
        if self._barrier is None:
            self._barrier = FileBarrier(root / ".barrier", self.rank, self.world_size, self.timeout)
        self._broken = True
        self._barrier()
        self._broken = False


@contextlib.contextmanager
def save_shards(
    root: str | os.PathLike[str],
    step: int,
    ranks: Ranks,
    *,
    epoch: int | None = None,
    framework: str | None = None,
    metrics: Mapping[str, Any] | None = None,
) -> Iterator[Path]:
    """
    Publish what all ranks write into their yielded directories as one checkpoint; every rank must call it.

    The files end up side by side, so a name may be used by one rank only, and each must write at
    least one. When it returns, on whichever rank, the step is published. Parameters as of
    ``save_checkpoint``; of epoch and metrics, what rank 0 says is written down.

    :raises NotPublished: if another rank failed; what failed on this rank is raised as it is.
    :raises RankMissing: if a rank did not come in time.
    """
    ranks.check()
    world = ranks.world_size
    about = preemptible.describe(
        step, epoch=epoch, framework=framework, metrics=metrics, world_size=world
    )
    write = _lead if ranks.rank == 0 else _follow
    with write(Path(root, f"step-{about['step']:08d}"), ranks, about) as folder:
        yield folder


@contextlib.contextmanager
def _lead(target: Path, ranks: Ranks, about: dict[str, Any]) -> Iterator[Path]:
    root, outcome = target.parent, {"error": "rank 0 failed"}
    root.mkdir(parents=True, exist_ok=True)
    ranks.meet(root)  # from here on nobody reads the note of the save before
    try:
        with preemptible.temporary_directory(target) as temp:
            _write(root / ".ranks", {"temp": temp.name})
            ranks.meet(root)
            with _part(temp, ranks) as folder:
                yield folder
            preemptible.publish(
                temp, target, preemptible.write_manifest(temp, about, _merged(temp, ranks))
            )
        outcome = {"published": target.name}
    except BaseException as error:
        outcome = {"error": f"rank 0: {error or type(error).__name__}"}
        raise
    finally:
        try:
            _write(root / ".ranks", outcome)
        finally:
            ranks.meet(root)


@contextlib.contextmanager
def _follow(target: Path, ranks: Ranks, about: dict[str, Any]) -> Iterator[Path]:
    root = target.parent
    root.mkdir(parents=True, exist_ok=True)
    ranks.meet(root)
    ranks.meet(root)
    temp = _invited(root, target, ranks)
    try:
        with _part(temp, ranks) as folder:
            yield folder
    finally:
        ranks.meet(root)
    said = _read(root / ".ranks")
    if said.get("published") != target.name:
        raise NotPublished(f"{target.name} was not published: {said.get('error', said)}")


def _invited(root: Path, target: Path, ranks: Ranks) -> Path:
    """The directory that rank 0 made; a network file system may show it to us a little later."""
    deadline = time.monotonic() + ranks.timeout
    while True:
        said = _read(root / ".ranks")
        if "error" in said:
            raise NotPublished(f"{target.name} was not published: {said['error']}")
        temp = Path(root, said.get("temp", ".none"))
        if temp.name.startswith(f".tmp-{target.name}-") and temp.is_dir():
            return temp
        if time.monotonic() > deadline:
            raise NotPublished(
                f"{target.name}: rank 0 invites to {said}; do all ranks save the same step in {root}?"
            )
        time.sleep(0.05)


@contextlib.contextmanager
def _part(temp: Path, ranks: Ranks) -> Iterator[Path]:
    """Write the files of one rank, and tell rank 0 what came of it before anybody goes on."""
    folder = temp / _PARTS / str(ranks.rank)
    said: dict[str, Any] = {"error": "left in the middle"}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
        names = preemptible.files_below(folder)
        said = {
            "files": [
                dict(preemptible.fsync_and_sum(folder, name), rank=ranks.rank) for name in names
            ]
        }
    except Exception as error:
        said = {"error": f"{type(error).__name__}: {error}"}
        raise
    finally:
        with contextlib.suppress(OSError):  # a full disk: no note says enough
            _write(temp / _PARTS / f"{ranks.rank}.json", said)
        ranks.meet(temp.parent)


def _merged(temp: Path, ranks: Ranks) -> list[dict[str, Any]]:
    """Put the parts together, if all are there, and return the manifest's entries."""
    notes = [_read(temp / _PARTS / f"{rank}.json") for rank in range(ranks.world_size)]
    wrong = [
        f"rank {rank}: {_complaint(note)}" for rank, note in enumerate(notes) if _complaint(note)
    ]
    entries = sorted(
        (entry for note in notes for entry in note.get("files", [])),
        key=lambda entry: entry["path"],
    )
    paths = [entry["path"] for entry in entries]
    wrong += [
        f"{path} was written by several ranks"
        for path in sorted({p for p in paths if paths.count(p) > 1})
    ]
    if wrong:
        raise NotPublished("; ".join(wrong[:5]))
    for entry in entries:
        final = temp / entry["path"]
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(temp / _PARTS / str(entry["rank"]) / entry["path"], final)
    preemptible.discard(temp / _PARTS)
    return entries


def _complaint(note: dict[str, Any]) -> str:
    return str(
        note.get("error", "" if note.get("files") else "wrote no file, or left no note of it")
    )


class FileBarrier:
    """
    A barrier of files, for ranks that share nothing but storage.

    Each rank says in a file of its own who it is, how often it came, and whom it has heard. What
    a dead process left has not heard us, so it proves nothing, and no clocks are compared. Every
    rank reads the files of all: made for some dozens, and for saves, not for steps.
    """

    def __init__(self, folder: Path, rank: int, world_size: int, timeout: float = 600.0) -> None:
        self._folder, self._rank, self._timeout = folder, rank, timeout
        self._others = [other for other in range(world_size) if other != rank]
        self._me, self._count = uuid.uuid4().hex, 0
        self._heard: dict[str, str] = {}
        self._met: dict[int, str] = {}

    def __call__(self) -> None:
        """Return once all ranks have called as often as this one."""
        self._count += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        self._speak()
        deadline, pause = time.monotonic() + self._timeout, 0.002
        while missing := self._missing():
            if time.monotonic() > deadline:
                raise RankMissing(
                    f"ranks {missing} did not come within {self._timeout} s; see their logs"
                )
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _missing(self) -> list[int]:
        said = {other: _read(self._folder / f"{other}.json") for other in self._others}
        heard = {str(other): words["me"] for other, words in said.items() if words}
        if heard != self._heard:
            self._heard = heard
            self._speak()  # before we leave: the others wait to be heard
        return [other for other, words in said.items() if not self._is_here(other, words)]

    def _is_here(self, other: int, words: dict[str, Any]) -> bool:
        if not words or words["heard"].get(str(self._rank)) != self._me:
            return False
        if self._met.setdefault(other, words["me"]) != words["me"]:
            raise RankMissing(
                f"rank {other} was started anew in the middle; start all ranks together"
            )
        return bool(words["count"] >= self._count)

    def _speak(self) -> None:
        _write(
            self._folder / f"{self._rank}.json",
            {"me": self._me, "count": self._count, "heard": self._heard},
        )


def _read(path: Path) -> dict[str, Any]:
    """
    A note, or nothing if it is not there; it is replaced as a whole, so it is never seen in part.
    """
    try:
        said: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return said


def _write(path: Path, said: dict[str, Any]) -> None:
    temp = path.with_name(
        f"{path.name}.tmp"
    )  # each note has one writer; what it leaves in dying is written over
    temp.write_text(json.dumps(said), encoding="utf-8")
    os.replace(temp, path)


def any_rank(mine: bool) -> bool:
    """
    Whether it is true on any rank, for ``PreemptionGuard(agree=any_rank)``; every rank must ask equally often.

    An all-reduce over ``torch.distributed``; without a process group the answer is one's own.
    """
    import torch  # here, because nothing else in this file needs it
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return mine
    flag = torch.tensor([int(mine)], device="cuda" if dist.get_backend() == "nccl" else "cpu")
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())
