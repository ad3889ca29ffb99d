"""Files inside a checkpoint directory: each is opened by its own format; every other one is only summed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.recognition import examine
from airflow_runai.checkpoints.formats.heads import head
from airflow_runai.checkpoints.storage.access import is_remote
from airflow_runai.checkpoints.storage.listing import Listing

_TAIL = 64

#: Files of one checkpoint on an object store that are looked at at the same time.
SIDE_BY_SIDE = 4


def examine_parts(tree: Listing, context: CheckContext, known: Collection[str] = ()) -> None:
    """
    Look at every file of a directory; one that cannot be read does not hide the others.

    Files that only describe the checkpoint (``excluded``) are left alone.

    :param known: files that were looked at already; what has not been read of them is only summed.
    """
    if context.level >= 1:
        names = sorted(tree.files.keys() - context.account.excluded)
        side_by_side(
            tree, context, names, lambda part, name: _examine_part(tree, part, name, known)
        )


def side_by_side(
    tree: Listing,
    context: CheckContext,
    names: Sequence[str],
    look: Callable[[CheckContext, str], None],
) -> None:
    """
    Look at several files: one after the other, on an object store several at the same time.

    There, waiting for the network is what takes time.

    :param look: told the account to write into, and the name of a file.
    """
    if not is_remote(tree.root) or len(names) < 2:
        for name in names:
            look(context, name)
        return
    from concurrent.futures import ThreadPoolExecutor  # not before it is needed: it costs a start

    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="checkpoint-part") as workers:
        for part in workers.map(lambda name: _looked_at(context, name, look), names):
            context.account.merge(part.account)


def _looked_at(
    context: CheckContext, name: str, look: Callable[[CheckContext, str], None]
) -> CheckContext:
    part = context.for_part(name)
    look(part, name)
    return part


def _examine_part(tree: Listing, context: CheckContext, name: str, known: Collection[str]) -> None:
    part = tree.narrowed_to(name)
    if tree.files[name].size and name not in known:
        with context.noting(name):
            _look(part, context, name)
    if context.level >= 2 and name not in context.account.crcs:
        _sum(part, context)


def _look(part: Listing, context: CheckContext, name: str) -> None:
    """Text of no known format describes the checkpoint; what is no text may be a part of it, and nothing proves it."""
    if examine(part, context) is not None or name in context.account.manifest_verified:
        return
    if name.endswith(".json") and _is_torn(part, context):
        context.note("json-malformed", name, "does not end as it begins; it was cut or overwritten")
    elif b"\0" in head(part, context):
        context.note(
            "not-examined", name, "of no format that is known here; its bytes were not looked at"
        )


def _is_torn(part: Listing, context: CheckContext) -> bool:
    """Whether an object or a list in JSON has lost its end; a tokenizer is too large to be parsed for that."""
    first = head(part, context).lstrip()[:1]
    with Source(part, context) as source:
        size = min(source.size, _TAIL)
        last = source.at(source.size - size, size).rstrip()[-1:]
    return first + last not in (b"{}", b"[]") and first in (b"{", b"[", b"\0")


def holds_weights(name: str, context: CheckContext) -> bool:
    """Whether a file name is one of weights or training state."""
    return any(name.endswith(form.weights) for form in context.request.formats)


def _sum(part: Listing, context: CheckContext) -> None:
    with context.noting(part.label), Source(part, context) as source:
        source.scan([])
