"""
The training's side of preemption: atomic checkpoints and a SIGTERM guard.

Copy this file beside the training script; that is why it is one file, and long. It needs the
standard library only, Python 3.8 or newer. It knows no framework's format (you write the files;
adapters are in the files beside it) and does not talk to Run:ai. Files that exist prove nothing, so
they are written to a temporary directory of the same file system, made durable, described by a
manifest that is written last, and only then renamed. Whenever the writer is killed, a reader finds
the old checkpoint or the new one.

Layout: ``ROOT/step-00000042/{your files, manifest.json}``, ``ROOT/latest`` (the step published
last, for people; readers here trust manifests only), ``ROOT/.tmp-…`` while it is written,
``ROOT/.trash-…`` while it is deleted. Give each training its own root, also each fresh start.

From a start-up script: ``python preemptible.py latest ROOT`` or ``... check DIRECTORY``.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import json
import math
import operator
import os
import re
import shutil
import signal
import socket
import sys
import time
import uuid
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Json = dict[str, Any]
    StrPath = str | os.PathLike[str]

__all__ = [
    "Checkpoint",
    "CheckpointVerificationError",
    "PreemptionGuard",
    "describe",
    "discard",
    "files_below",
    "fsync_and_sum",
    "newest_valid",
    "prune",
    "publish",
    "save_checkpoint",
    "temporary_directory",
    "verify",
    "write_manifest",
]

_SCHEMA = "runai-checkpoint/1"
_MANIFEST = "manifest.json"
# Our names, the Hugging Face Trainer's and Lightning's; the directory must hold our manifest, too.
_PUBLISHED = re.compile(r"^(?:step-(\d{8,})|checkpoint-(\d+)|(?!\.).*\bstep=(\d+).*\.ckpt)$")
_TEMPORARY = re.compile(r"^\.tmp-.+-([0-9a-f]{8})([0-9a-f]{8})[0-9a-f]{8}$")
_ABANDONED_SECONDS = 24 * 3600.0
_writing: set[str] = set()  # temporary directories that this process is filling


class CheckpointVerificationError(ValueError):
    """A checkpoint directory that is torn, changed or not published; the message says where."""


class Checkpoint(NamedTuple):
    """A directory whose every byte agreed with its manifest when it was read."""

    path: Path
    step: int
    epoch: int | None
    metrics: dict[str, Any]


@contextlib.contextmanager
def save_checkpoint(
    root: StrPath,
    step: int,
    *,
    epoch: int | None = None,
    framework: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> Iterator[Path]:
    """
    Publish the files that the ``with`` block writes into the yielded directory, all or none.

    For one process, or for rank 0 if it holds everything; if several ranks write, use
    ``ranks.save_shards``. An exception in the block, or a full disk, leaves the root as it was. A
    step that is already published with equal content is kept. With other content it is replaced by
    one atomic exchange or, on file systems without one (some NFS), by two renames: between these
    the step is missing, never partial. Left-overs of dead writers are removed first: those of this
    workload (``JOB_UUID``, else host) if their process is gone, others after a day.

    :param root: directory of all checkpoints of one training, on storage that outlives the node.
    :param step: optimizer steps done, 0 or more; names the directory.
    :param epoch: epochs done, for readers.
    :param framework: writer of the files, such as ``numpy``, for readers.
    :param metrics: finite numbers, text, true, false or none by name.
    :param name: another name for the directory, for frameworks with names of their own.
    :raises ValueError: for a bad argument, no file, or a link or special file among the files.
    """
    about = describe(step, epoch=epoch, framework=framework, metrics=metrics)
    target = Path(root, name or f"step-{about['step']:08d}")
    with temporary_directory(target) as temp:
        yield temp
        publish(temp, target, write_manifest(temp, about))


def verify(path: StrPath) -> Checkpoint:
    """
    Read every byte of a published directory and compare it with the manifest.

    :raises CheckpointVerificationError: if anything is missing, additional or different.
    :raises OSError: if something cannot be read, which proves nothing about the content.
    """
    path = Path(path)
    manifest = _read_manifest(path)
    listed = _contents(manifest)
    different = (set(files_below(path)) - {_MANIFEST}) ^ set(listed)
    if different:
        names = ", ".join(sorted(different)[:5])
        raise CheckpointVerificationError(f"{path}: files and manifest disagree about: {names}")
    for name, expected in listed.items():
        actual = _size_and_crc(path / name)
        if actual != expected:
            raise CheckpointVerificationError(
                f"{path / name}: (size, crc32) is {actual}, in the manifest {expected}"
            )
    return Checkpoint(path, manifest["step"], manifest.get("epoch"), manifest.get("metrics") or {})


def newest_valid(root: StrPath) -> Checkpoint | None:
    """
    Find the checkpoint to resume from: the highest step that verifies, also under adapters' names.

    Checkpoints that do not verify are reported on stderr.

    :return: ``None`` if there is none (or no such directory): start from scratch.
    :raises OSError: if the root cannot be listed. That is not "none": do not start from scratch.
    """
    # A rotation may delete what is being read, but hardly this often.
    for _ in range(100):
        for path in _published(Path(root)):
            identity = _identity(path)
            try:
                return verify(path)
            except (CheckpointVerificationError, OSError) as error:
                if _identity(path) != identity:
                    break  # replaced or deleted during the read, not damaged: list again
                print(f"checkpoint refused: {error}", file=sys.stderr)
        else:
            return None
    message = "changed 100 times while being read; do trainings share it?"
    raise OSError(errno.EBUSY, message, str(root))


def prune(root: StrPath, keep_last: int = 3, keep_every: int | None = None) -> list[Path]:
    """
    Delete old checkpoints, but never the newest valid one, nor any while none is valid.

    The newest is read in full. Checkpoints that an evaluation has leased are kept, too: the lease
    ``ROOT/.leases/NAME@….json`` says until when.

    :param keep_last: number of highest steps to keep (≥ 1).
    :param keep_every: keep also the steps divisible by this (≥ 1).
    :return: the deleted directories.
    """
    if keep_last < 1 or (keep_every is not None and keep_every < 1):
        raise ValueError(
            f"prune: keep_last={keep_last!r}, keep_every={keep_every!r}: at least 1 each"
        )
    newest = newest_valid(root)
    if newest is None:
        return []
    deleted = []
    for path in _published(Path(root))[keep_last:]:
        kept = keep_every is not None and _step(path) % keep_every == 0
        if path != newest.path and not kept and not _is_leased(path):
            discard(path)
            deleted.append(path)
    return deleted


def _is_leased(path: Path) -> bool:
    """Whether a lease protects it; an unreadable lease counts, since deleting cannot be undone."""
    for lease in path.parent.glob(f".leases/{path.name}@*.json"):
        try:
            if json.loads(lease.read_bytes())["until"] > time.time():
                return True
        except (OSError, ValueError, TypeError, KeyError) as error:
            if not isinstance(error, FileNotFoundError):
                return True
    return False


class PreemptionGuard:
    """
    Turn SIGTERM into a flag, so that the loop can save and leave before SIGKILL.

    Poll ``should_stop`` after each step. If you poll it only at the end of an epoch, or not during
    warm-up and evaluation, you see it after the grace period, that is never. Python runs handlers
    between byte codes, so one long native call delays it as well. A shell between Run:ai and Python
    does not pass the signal on: start with ``exec python train.py``.

    Create it in the main thread. As a context manager it restores the old handlers.

    :param grace_seconds: from SIGTERM to SIGKILL; default: environment variable
        ``TERMINATION_GRACE_PERIOD_SECONDS``, else ``RUNAI_GRACE_SECONDS``, else Kubernetes' 30.
    :param exit_code: 143 means "preempted, checkpoint saved"; never 0, which would mean finished.
    :param signals: signals to catch; add ``signal.SIGUSR1`` if your platform warns with it.
    :param agree: for several ranks: takes whether this rank was signalled, returns whether any was
        (an all-reduce, such as ``ranks.any_rank``). A rank that left alone would leave the others
        waiting for ever. It is called at each poll, so all ranks must poll equally often.
    """

    def __init__(
        self,
        grace_seconds: float | None = None,
        exit_code: int = 143,
        signals: Iterable[int] = (signal.SIGTERM,),
        agree: Callable[[bool], bool] | None = None,
    ) -> None:
        if not 1 <= exit_code <= 255:
            raise ValueError(
                f"PreemptionGuard: exit_code={exit_code!r}: 1 to 255; 0 would mean finished"
            )
        self.grace_seconds = _grace_seconds() if grace_seconds is None else grace_seconds
        self.exit_code = exit_code
        self.agree = agree
        self._agreed = False
        self.deadline: float | None = None
        """When SIGKILL is due, on ``time.monotonic()``'s clock; ``None`` before the signal."""
        self._previous: dict[int, Any] = {}
        self._signals = tuple(signals)
        self.listen()

    def listen(self) -> None:
        """Install the handlers, again after a framework has installed its own."""
        for number in self._signals:
            self._previous.setdefault(number, signal.signal(number, self._notice))

    def _notice(self, _signal: int, _frame: object) -> None:
        if self.deadline is None:  # a second signal does not give more time
            self.deadline = time.monotonic() + self.grace_seconds

    @property
    def should_stop(self) -> bool:
        """Whether the signal has come; with ``agree``, whether it has come to any rank."""
        if self.agree is None:
            return self.deadline is not None
        if not self._agreed and self.agree(self.deadline is not None):
            self._agreed = True
            self._notice(0, None)  # the other rank's grace began no later than this
        return self._agreed

    def remaining(self) -> float:
        """Seconds until SIGKILL, 0 or more; infinite before the signal."""
        return math.inf if self.deadline is None else max(0.0, self.deadline - time.monotonic())

    def exit(self) -> NoReturn:
        """Leave the process with the agreed code; call it after the checkpoint is saved."""
        raise SystemExit(self.exit_code)

    def restore(self) -> None:
        """Restore the handlers that were there before."""
        while self._previous:
            number, handler = self._previous.popitem()
            signal.signal(number, signal.SIG_DFL if handler is None else handler)

    def __enter__(self) -> PreemptionGuard:
        return self

    def __exit__(self, *_: object) -> None:
        self.restore()


def _grace_seconds() -> float:
    for name in ("TERMINATION_GRACE_PERIOD_SECONDS", "RUNAI_GRACE_SECONDS"):
        value = os.environ.get(name, "").strip()
        if value:
            if not re.match(r"^\d+(\.\d*)?$", value):
                raise ValueError(f"environment {name}={value!r}: expected seconds, such as 30")
            return float(value)
    return 30.0


def describe(
    step: int,
    *,
    epoch: int | None = None,
    framework: str | None = None,
    metrics: Mapping[str, Any] | None = None,
    world_size: int = 1,
) -> Json:
    """Check the facts for the manifest before the save; parameters as of ``save_checkpoint``."""
    # Takes integers of numpy, and no floats.
    if operator.index(step) < 0:
        raise ValueError(f"save_checkpoint: step={step}: expected 0 or more")
    return {
        "schema": _SCHEMA,
        "step": operator.index(step),
        "epoch": None if epoch is None else operator.index(epoch),
        "world_size": world_size,
        "framework": framework,
        "workload": _workload(),
        "metrics": _plain(metrics or {}),
        "started_at": time.time(),
    }


def _workload() -> dict[str, str | None]:
    return {
        "name": os.environ.get("RUNAI_JOB_NAME") or os.environ.get("JOB_NAME"),
        "uuid": os.environ.get("JOB_UUID"),
        "node": os.environ.get("NODE_NAME"),
    }


def _plain(metrics: Mapping[str, Any]) -> Json:
    try:
        # Scalars of numpy and PyTorch become floats.
        text = json.dumps(dict(metrics), allow_nan=False, default=float)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"save_checkpoint: metrics={metrics}: finite numbers or text: {error}"
        ) from None
    plain: Json = json.loads(text)
    return plain


@contextlib.contextmanager
def temporary_directory(target: Path) -> Iterator[Path]:
    """Create a directory beside the target to write into, and remove it unless it was published."""
    target.parent.mkdir(parents=True, exist_ok=True)
    _sweep(target.parent)
    temp = _temporary(target)
    _writing.add(temp.name)
    try:
        temp.mkdir()
        yield temp
    finally:
        discard(temp)  # torn, a duplicate or the replaced one
        _writing.discard(temp.name)


def write_manifest(folder: Path, about: Mapping[str, Any], files: list[Json] | None = None) -> Json:
    """
    Make the files of a directory durable, then write the manifest.

    :param about: the result of :func:`describe`.
    :param files: the results of :func:`fsync_and_sum`, if the writers have called it already.
    """
    entries, now = _entries(folder, files), time.time()
    manifest = dict(
        about,
        files=entries,
        created_at=now,
        previous_step=_step_before(about["step"], folder.parent),
        complete=True,
    )
    manifest["save_seconds"] = round(max(0.0, now - manifest.pop("started_at")), 3)
    manifest["crc32"] = _manifest_checksum(manifest)
    for below, _, _ in os.walk(folder):
        _sync(below)
    _write_durably(folder / _MANIFEST, json.dumps(manifest, indent=1), folder / ".manifest.tmp")
    return manifest


def _step_before(step: int, root: Path) -> int | None:
    earlier = [other for other in map(_step, _published(root)) if other < step]
    return max(earlier, default=None)


def _entries(folder: Path, files: list[Json] | None) -> list[Json]:
    names = files_below(folder)
    if not names or _MANIFEST in names:
        raise ValueError(f"{folder}: found {names}; expected files, none named {_MANIFEST}")
    if files is None:
        return [fsync_and_sum(folder, name) for name in names]
    announced = [entry["path"] for entry in files]
    if announced != names:
        raise ValueError(f"{folder}: found {names}; announced were {announced}")
    return files


def fsync_and_sum(folder: Path, name: str) -> Json:
    """Make one file durable, and return its entry of the manifest's ``files``."""
    path = folder / name
    # safetensors leaves 0600; without this, no other uid could check the file.
    with contextlib.suppress(PermissionError):
        path.chmod(path.stat().st_mode | (folder.stat().st_mode & 0o444))
    size, crc = _size_and_crc(path)  # before the sync, while the file is in the page cache
    _sync(path)
    return {"path": name, "size": size, "crc32": crc}


def _contents(manifest: Json) -> dict[str, tuple[int, str]]:
    return {entry["path"]: (entry["size"], entry["crc32"]) for entry in manifest["files"]}


def _is_whole(manifest: Json) -> bool:
    """Whether each rank left a file, if several wrote."""
    size = manifest["world_size"]
    ranks = {entry.get("rank") for entry in manifest["files"]}
    # The length is compared first: a forged size must not allocate a range of its own.
    return size == 1 or (len(ranks) == size and ranks == set(range(len(ranks))))


def _manifest_checksum(manifest: Json) -> str:
    unsealed = {key: value for key, value in manifest.items() if key != "crc32"}
    return f"{zlib.crc32(json.dumps(unsealed, sort_keys=True, separators=(',', ':')).encode()):08x}"


def _read_manifest(path: Path) -> Json:
    try:
        manifest: Json = json.loads((path / _MANIFEST).read_bytes())
        intact = _is_intact(manifest, path)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointVerificationError(
            f"{path}: no {_MANIFEST}, so it was never published"
        ) from None
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointVerificationError(
            f"{path / _MANIFEST}: not written by this module: {error!r}"
        ) from None
    if not intact:
        raise CheckpointVerificationError(
            f"{path / _MANIFEST}: other schema or step, a rank is missing, or it was changed"
        )
    return manifest


def _is_intact(manifest: Json, path: Path) -> bool:
    return (
        manifest["schema"] == _SCHEMA
        and manifest["complete"] is True
        and manifest["crc32"] == _manifest_checksum(manifest)
        and len(_contents(manifest)) == len(manifest["files"])
        and _is_whole(manifest)
        and (not _PUBLISHED.match(path.name) or manifest["step"] == _step(path))
    )


def files_below(folder: Path) -> list[str]:
    """
    List all regular files below as relative POSIX paths.

    :raises CheckpointVerificationError: for a link, which may lead to bytes of others.
    """
    found = []
    for parent, folders, names in os.walk(folder, onerror=_raise):
        for path in (Path(parent, name) for name in folders + names):
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise CheckpointVerificationError(
                    f"{path}: links and special files are not allowed in a checkpoint"
                )
        found += [Path(parent, name).relative_to(folder).as_posix() for name in names]
    return sorted(found)


def _raise(error: OSError) -> NoReturn:
    raise error


def _size_and_crc(path: Path) -> tuple[int, str]:
    size = crc = 0
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return size, f"{crc:08x}"


def publish(temp: Path, target: Path, manifest: Json) -> None:
    """Give a directory with a manifest its final name, in one step."""
    try:
        os.replace(temp, target)
    except OSError:  # a directory that is not empty cannot be replaced by a rename
        if not os.path.lexists(target):
            raise
        if not _is_same(target, manifest) and not _exchange(temp, target):
            os.replace(target, _trash(target))  # removed by the next save
            os.replace(temp, target)
    _sync(target.parent)
    latest = target.with_name("latest")
    _write_durably(latest, f"{target.name}\n", _temporary(latest))


def _is_same(target: Path, manifest: Json) -> bool:
    with contextlib.suppress(CheckpointVerificationError, OSError):
        verify(target)
        old = _read_manifest(target)
        same = [old.get(key) == manifest[key] for key in ("files", "epoch", "metrics", "framework")]
        return all(same)
    return False


def _exchange(one: Path, other: Path) -> bool:
    """Swap two names in one step with Linux' ``renameat2``; ``False`` where that does not exist."""
    with contextlib.suppress(AttributeError, OSError, TypeError):
        renameat2 = ctypes.CDLL(None, use_errno=True).renameat2
        here, exchange = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
        return bool(renameat2(here, os.fsencode(one), here, os.fsencode(other), exchange) == 0)
    return False


def _write_durably(path: Path, text: str, temp: Path) -> None:
    temp.write_text(text, encoding="utf-8")
    _sync(temp)
    os.replace(temp, path)
    _sync(path.parent)


def _sync(path: StrPath) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:  # some network file systems cannot sync a directory
        unsupported = error.errno in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS)
        if not (unsupported and os.path.isdir(path)):
            raise
    finally:
        os.close(descriptor)


def _trash(path: Path) -> Path:
    return path.with_name(f".trash-{path.name.lstrip('.')}-{uuid.uuid4().hex[:8]}")


def discard(path: Path) -> None:
    """Delete by renaming first: a deletion that dies half-way must not look like a checkpoint."""
    trash = _trash(path) if not path.name.startswith(".trash-") else path
    with contextlib.suppress(OSError):  # the next save removes the rest
        os.replace(path, trash)
        if trash.is_symlink() or trash.is_file():
            trash.unlink()
        else:
            shutil.rmtree(trash)


def _temporary(target: Path) -> Path:
    owner = f"{_owner()}{os.getpid():08x}"
    return target.with_name(f".tmp-{target.name}-{owner}{uuid.uuid4().hex[:8]}")


def _owner() -> str:
    """Identify the workload; under Run:ai it stays over preemptions, unlike the host's name."""
    return f"{zlib.crc32((os.environ.get('JOB_UUID') or socket.gethostname()).encode()):08x}"


def _sweep(root: Path) -> None:
    """Remove the left-overs of dead writers, and of deletions that did not finish."""
    for path in root.iterdir():
        match = _TEMPORARY.match(path.name)
        abandoned = match and _is_abandoned(path, *match.groups())
        # Not .trash-retention-…: Airflow's retention may still restore what it is deleting.
        if abandoned or re.match(r"\.trash-(?!retention-)", path.name):
            discard(path)


def _is_abandoned(path: Path, owner: str, pid: str) -> bool:
    with contextlib.suppress(FileNotFoundError):
        old = time.time() - path.stat().st_mtime > _ABANDONED_SECONDS
        # Containers number their processes alike: our own pid was our predecessor's, too.
        gone = int(pid, 16) == os.getpid() or not _is_alive(int(pid, 16))
        return path.name not in _writing and (old or (owner == _owner() and gone))
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except OSError as error:
        return error.errno == errno.EPERM
    return True


def _step(path: Path) -> int:
    match = _PUBLISHED.match(path.name)
    return int(match.group(match.lastindex or 0)) if match else -1


def _published(root: Path) -> list[Path]:
    """List the directories with a published name, highest step first."""
    try:
        names = [name for name in os.listdir(root) if _PUBLISHED.match(name)]
    except FileNotFoundError:
        return []
    paths = [path for path in map(root.joinpath, names) if path.is_dir() and not path.is_symlink()]
    return sorted(paths, key=_step, reverse=True)


def _identity(path: Path) -> tuple[int, int] | None:
    """Tell one directory from the next of this name; inode numbers alone are soon used again."""
    with contextlib.suppress(FileNotFoundError):
        status = path.stat()
        return status.st_ino, status.st_ctime_ns
    return None


def _main() -> int:
    parser = argparse.ArgumentParser(
        description="Check published checkpoints. "
        "Exit code: 0 valid, 1 none or invalid, 2 could not tell."
    )
    parser.add_argument(
        "action", choices=("latest", "check"), help="newest valid below PATH, or PATH itself"
    )
    parser.add_argument("path")
    options = parser.parse_args()
    check = newest_valid if options.action == "latest" else verify
    try:
        checkpoint = check(options.path)
    except (CheckpointVerificationError, OSError) as error:
        print(f"preemptible: {error}", file=sys.stderr)
        return 2 if isinstance(error, OSError) else 1
    if checkpoint is None:
        return 1
    print(checkpoint.path)
    return 0


if __name__ == "__main__":
    sys.exit(_main())
