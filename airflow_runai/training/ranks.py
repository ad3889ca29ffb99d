"""
Checkpoints that several processes write together: published as a whole or not at all.

For state that is spread over ranks: sharded parameters, random generators. If rank 0 holds
everything, ``save_checkpoint`` on rank 0 is simpler. Copy this file beside preemptible.py. It needs
the standard library only, Python 3.8 or newer; only ``any_rank`` needs PyTorch.

Each rank writes into its own directory within one temporary directory, and then a note of its files
with their checksums, so that bytes are summed where they were written. Rank 0 merges the parts and
publishes if the notes of all ranks are there. A rank that fails says so in its note; one that dies
or lags is missed at a barrier. Either way nothing is published, each live rank gets an error, and
the next save starts in an empty directory. ``ROOT/.ranks`` tells the ranks where to write, and the
result; without a barrier of yours, they meet in ``ROOT/.barrier/``.
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

    Json = dict[str, Any]
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
    """The ranks did not publish this step; the message says which rank failed, and why."""


class RankMissing(NotPublished):
    """A rank did not reach a barrier in time: it died, hangs, or was restarted."""


class Ranks:
    """
    The rank of this process, the number of ranks, and how they wait for each other.

    :param barrier: returns on each rank once all have called it, such as
        ``torch.distributed.barrier``; by default a :class:`FileBarrier` in the checkpoints' root.
    :param timeout: seconds that a file barrier waits; the slowest rank must save within them.
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
        """Read the variables of torchrun, Open MPI, MPICH or MVAPICH; without them: one rank."""
        for rank_name, size_name in _VARIABLES:
            texts = os.environ.get(rank_name), os.environ.get(size_name)
            if texts == (None, None):
                continue
            rank, size = map(_number, texts)
            if not 0 <= rank < size:
                found = f"{rank_name}={texts[0]!r}, {size_name}={texts[1]!r}"
                raise ValueError(f"environment {found}: expected such as 0 and 4")
            return cls(rank, size, barrier, timeout)
        return cls(0, 1, barrier, timeout)

    def check(self) -> None:
        """Refuse a save after a barrier has failed: the ranks may be at different places."""
        if self._broken:
            raise RankMissing("a barrier failed before; end all ranks, and start them together")

    def meet(self, root: Path) -> None:
        """Wait for the others; after a failure, return at once."""
        if self._broken or self.world_size == 1:
            return
        if self._barrier is None:
            self._barrier = FileBarrier(root / ".barrier", self.rank, self.world_size, self.timeout)
        # Stays true if the barrier raises.
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
    Publish the files that all ranks write into their yielded directories as one checkpoint.

    Every rank must call it. The files end up side by side, so only one rank may use a name, and
    each must write at least one file. When it returns on any rank, the step is published.
    Parameters as of ``save_checkpoint``; epoch and metrics are those of rank 0.

    :raises NotPublished: if another rank failed; an error on this rank is raised as it is.
    :raises RankMissing: if a rank was not there in time.
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
def _lead(target: Path, ranks: Ranks, about: Json) -> Iterator[Path]:
    root, result = target.parent, {"error": "rank 0 failed"}
    root.mkdir(parents=True, exist_ok=True)
    ranks.meet(root)  # from here on no rank reads the note of the previous save
    try:
        with preemptible.temporary_directory(target) as temp:
            _write(root / ".ranks", {"temp": temp.name})
            ranks.meet(root)
            with _part(temp, ranks) as folder:
                yield folder
            manifest = preemptible.write_manifest(temp, about, _merged(temp, ranks))
            preemptible.publish(temp, target, manifest)
        result = {"published": target.name}
    except BaseException as error:
        result = {"error": f"rank 0: {error or type(error).__name__}"}
        raise
    finally:
        try:
            _write(root / ".ranks", result)
        finally:
            ranks.meet(root)


@contextlib.contextmanager
def _follow(target: Path, ranks: Ranks, about: Json) -> Iterator[Path]:
    root = target.parent
    root.mkdir(parents=True, exist_ok=True)
    ranks.meet(root)
    ranks.meet(root)
    temp = _shared_directory(root, target, ranks)
    try:
        with _part(temp, ranks) as folder:
            yield folder
    finally:
        ranks.meet(root)
    note = _read(root / ".ranks")
    if note.get("published") != target.name:
        raise NotPublished(f"{target.name} was not published: {note.get('error', note)}")


def _shared_directory(root: Path, target: Path, ranks: Ranks) -> Path:
    """Find the directory that rank 0 made; a network file system may show it a little later."""
    deadline = time.monotonic() + ranks.timeout
    while True:
        note = _read(root / ".ranks")
        if "error" in note:
            raise NotPublished(f"{target.name} was not published: {note['error']}")
        temp = Path(root, note.get("temp", ".none"))
        if temp.name.startswith(f".tmp-{target.name}-") and temp.is_dir():
            return temp
        if time.monotonic() > deadline:
            question = f"do all ranks save the same step in {root}?"
            raise NotPublished(f"{target.name}: rank 0 invites to {note}; {question}")
        time.sleep(0.05)


@contextlib.contextmanager
def _part(temp: Path, ranks: Ranks) -> Iterator[Path]:
    """Let one rank write its files, and leave rank 0 a note before any rank continues."""
    folder = temp / _PARTS / str(ranks.rank)
    note: Json = {"error": "left in the middle"}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield folder
        names = preemptible.files_below(folder)
        entries = [preemptible.fsync_and_sum(folder, name) for name in names]
        note = {"files": [dict(entry, rank=ranks.rank) for entry in entries]}
    except Exception as error:
        note = {"error": f"{type(error).__name__}: {error}"}
        raise
    finally:
        with contextlib.suppress(OSError):  # a full disk: a missing note says enough
            _write(temp / _PARTS / f"{ranks.rank}.json", note)
        ranks.meet(temp.parent)


def _merged(temp: Path, ranks: Ranks) -> list[Json]:
    """Move the parts together, if all are there, and return the manifest's entries."""
    parts = temp / _PARTS
    notes = [_read(parts / f"{rank}.json") for rank in range(ranks.world_size)]
    entries = [entry for note in notes for entry in note.get("files", [])]
    entries.sort(key=lambda entry: entry["path"])
    problems = _problems(notes, [entry["path"] for entry in entries])
    if problems:
        raise NotPublished("; ".join(problems[:5]))
    for entry in entries:
        final = temp / entry["path"]
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(parts / str(entry["rank"]) / entry["path"], final)
    preemptible.discard(parts)
    return entries


def _problems(notes: list[Json], paths: list[str]) -> list[str]:
    problems = []
    for rank, note in enumerate(notes):
        if "error" in note:
            problems.append(f"rank {rank}: {note['error']}")
        elif not note.get("files"):
            problems.append(f"rank {rank}: wrote no file, or left no note of it")
    repeated = sorted({path for path in paths if paths.count(path) > 1})
    return problems + [f"{path} was written by several ranks" for path in repeated]


class FileBarrier:
    """
    A barrier of files, for ranks that share only storage.

    Each rank writes a file of its own: its id, how often it came, and the ids it has read from the
    others. A file that a dead process left does not contain our id, so it proves nothing, and no
    clocks are compared. Each rank reads the files of all ranks: made for some dozens of ranks, and
    for saves, not for steps.
    """

    def __init__(self, folder: Path, rank: int, world_size: int, timeout: float = 600.0) -> None:
        self._folder, self._rank, self._timeout = folder, rank, timeout
        self._others = [other for other in range(world_size) if other != rank]
        self._id, self._count = uuid.uuid4().hex, 0
        self._heard: dict[str, str] = {}
        self._met: dict[int, str] = {}

    def __call__(self) -> None:
        """Return once all ranks have called as often as this one."""
        self._count += 1
        self._folder.mkdir(parents=True, exist_ok=True)
        self._publish()
        deadline, pause = time.monotonic() + self._timeout, 0.002
        while missing := self._missing():
            if time.monotonic() > deadline:
                waited = f"within {self._timeout} s"
                raise RankMissing(f"ranks {missing} did not come {waited}; see their logs")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.5)

    def _missing(self) -> list[int]:
        notes = {other: _read(self._folder / f"{other}.json") for other in self._others}
        heard = {str(other): note["me"] for other, note in notes.items() if note}
        if heard != self._heard:
            self._heard = heard
            self._publish()  # before we leave: the others wait until we have read their ids
        return [other for other, note in notes.items() if not self._is_here(other, note)]

    def _is_here(self, other: int, note: Json) -> bool:
        if not note or note["heard"].get(str(self._rank)) != self._id:
            return False
        if self._met.setdefault(other, note["me"]) != note["me"]:
            raise RankMissing(f"rank {other} was restarted in the middle; start all ranks together")
        return bool(note["count"] >= self._count)

    def _publish(self) -> None:
        note = {"me": self._id, "count": self._count, "heard": self._heard}
        _write(self._folder / f"{self._rank}.json", note)


def _number(text: str | None) -> int:
    return int(text) if text and text.isdigit() else -1


def _read(path: Path) -> Json:
    """Read a note, or nothing if it is absent; it is replaced as a whole, never seen in part."""
    try:
        note: Json = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return note


def _write(path: Path, note: Json) -> None:
    # Each note has one writer, which overwrites a left-over of its own.
    temp = path.with_name(f"{path.name}.tmp")
    temp.write_text(json.dumps(note), encoding="utf-8")
    os.replace(temp, path)


def any_rank(mine: bool) -> bool:
    """
    Whether it is true on any rank, for ``PreemptionGuard(agree=any_rank)``.

    An all-reduce over ``torch.distributed``, so every rank must call it equally often; without a
    process group the result is this rank's own value.
    """
    import torch  # here, because nothing else in this file needs it
    import torch.distributed as dist

    if not (dist.is_available() and dist.is_initialized()):
        return mine
    # NCCL reduces tensors on GPUs only.
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    flag = torch.tensor([int(mine)], device=device)
    dist.all_reduce(flag, op=dist.ReduceOp.MAX)
    return bool(flag.item())
