"""Files inside a checkpoint directory: each is opened by its own format; every other one is only summed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from airflow_runai.checkpoints.checking.examination import Examination, FormatError
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.formats.heads import head
from airflow_runai.checkpoints.storage.access import is_remote
from airflow_runai.checkpoints.storage.listing import Listing

__all__ = ["WEIGHTS", "examine_parts", "holds_weights", "side_by_side"]

#: Endings of files that hold weights or training state.
WEIGHTS = (
    *(".pt", ".pth", ".ckpt", ".bin", ".pth.tar", ".safetensors"),
    *(".keras", ".h5", ".hdf5", ".npz", ".gguf", ".onnx"),
)

_TAIL = 64

#: Files of one checkpoint on an object store that are looked at at the same time.
SIDE_BY_SIDE = 4


def examine_parts(tree: Listing, seen: Examination, known: Collection[str] = ()) -> None:
    """
    Look at every file of a directory; one that cannot be read does not hide the others.

    Files that only describe the checkpoint (``seen.apart``) are left alone.

    :param known: files that were looked at already; what has not been read of them is only summed.
    """
    if seen.level >= 1:
        names = sorted(tree.files.keys() - seen.apart)
        side_by_side(tree, seen, names, lambda part, name: _examine_part(tree, part, name, known))


def side_by_side(
    tree: Listing, seen: Examination, names: Sequence[str], look: Callable[[Examination, str], None]
) -> None:
    """
    Look at several files: one after the other, on an object store several at the same time.

    There, waiting for the network is what takes time.

    :param look: told the account to write into, and the name of a file.
    """
    if not is_remote(tree.root) or len(names) < 2:
        for name in names:
            look(seen, name)
        return
    from concurrent.futures import ThreadPoolExecutor  # not before it is needed: it costs a start

    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="checkpoint-part") as workers:
        for part in workers.map(lambda name: _looked_at(seen, name, look), names):
            seen.join(part)


def _looked_at(
    seen: Examination, name: str, look: Callable[[Examination, str], None]
) -> Examination:
    part = seen.fork()
    if name in seen.crcs:
        part.crcs[name] = seen.crcs[name]
    look(part, name)
    return part


def _examine_part(tree: Listing, seen: Examination, name: str, known: Collection[str]) -> None:
    part = tree.only(name)
    if tree.files[name].size and name not in known:
        try:
            _look(part, seen, name)
        except FormatError as damage:
            seen.note(damage.code, name, damage.message)
    if seen.level >= 2 and name not in seen.crcs:
        _sum(part, seen)


def _look(part: Listing, seen: Examination, name: str) -> None:
    """Text of no known format describes the checkpoint; what is no text may be a part of it, and nothing proves it."""
    if seen.examine(part) is not None or name in seen.manifest_verified:
        return
    if name.endswith(".json") and _is_torn(part, seen):
        seen.note("json-malformed", name, "does not end as it begins; it was cut or overwritten")
    elif b"\0" in head(part, seen):
        seen.note(
            "not-examined", name, "of no format that is known here; its bytes were not looked at"
        )


def _is_torn(part: Listing, seen: Examination) -> bool:
    """Whether an object or a list in JSON has lost its end; a tokenizer is too large to be parsed for that."""
    first = head(part, seen).lstrip()[:1]
    with Source(part, seen) as source:
        size = min(source.size, _TAIL)
        last = source.at(source.size - size, size).rstrip()[-1:]
    return first + last not in (b"{}", b"[]") and first in (b"{", b"[", b"\0")


def holds_weights(name: str) -> bool:
    """Whether a file name is one of weights or training state."""
    return name.endswith(WEIGHTS)


def _sum(part: Listing, seen: Examination) -> None:
    try:
        with Source(part, seen) as source:
            source.scan([])
    except FormatError as damage:
        seen.note(damage.code, part.label, damage.message)
