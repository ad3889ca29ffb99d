"""Files inside a checkpoint directory: each is checked by its own format, or only summed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.recognition import examine
from airflow_runai.checkpoints.formats.heads import head
from airflow_runai.checkpoints.storage.access import is_remote
from airflow_runai.checkpoints.storage.listing import Listing

# Where the last bracket of a JSON document stands, white space behind it included.
_TAIL = 64

#: Files of one checkpoint on an object store that are checked at the same time.
SIDE_BY_SIDE = 4


def examine_parts(tree: Listing, context: CheckContext, known: Collection[str] = ()) -> None:
    """
    Check every file of a directory; one that cannot be read does not hide the others.

    Files that only describe the checkpoint (``excluded``) are skipped.

    :param known: files that are checked already; if they were not read to the end, they are summed.
    """

    def examine_file(part: CheckContext, name: str) -> None:
        _examine_part(tree, part, name, known)

    if context.level >= 1:
        names = sorted(tree.files.keys() - context.account.excluded)
        side_by_side(tree, context, names, examine_file)


def side_by_side(
    tree: Listing,
    context: CheckContext,
    names: Sequence[str],
    examine_file: Callable[[CheckContext, str], None],
) -> None:
    """
    Check several files: one after the other, on an object store several at the same time.

    There, most of the time is spent waiting for the network.

    :param examine_file: called with the context to write into and the name of a file.
    """
    if not is_remote(tree.root) or len(names) < 2:
        for name in names:
            examine_file(context, name)
        return
    # Imported here because it slows the start of a command.
    from concurrent.futures import ThreadPoolExecutor

    def examine_apart(name: str) -> CheckContext:
        part = context.for_part(name)
        examine_file(part, name)
        return part

    with ThreadPoolExecutor(SIDE_BY_SIDE, thread_name_prefix="checkpoint-part") as workers:
        # In the order of the names, so that two checks list their findings alike.
        for part in workers.map(examine_apart, names):
            context.account.merge(part.account)


def _examine_part(tree: Listing, context: CheckContext, name: str, known: Collection[str]) -> None:
    part = tree.narrowed_to(name)
    if tree.files[name].size and name not in known:
        with context.noting(name):
            _examine_by_format(part, context, name)
    if context.level >= 2 and name not in context.account.crcs:
        with context.noting(name), Source(part, context) as source:
            source.scan([])


def _examine_by_format(part: Listing, context: CheckContext, name: str) -> None:
    """
    Check a file by its format.

    Text of no known format describes the checkpoint; anything else may be a part that nothing
    proves.
    """
    if examine(part, context) is not None or name in context.account.manifest_verified:
        return
    if name.endswith(".json") and _is_torn(part, context):
        context.note("json-malformed", name, "does not end as it begins; it was cut or overwritten")
    # Text hardly ever holds a zero byte, numbers nearly always do.
    elif b"\0" in head(part, context):
        context.note(
            "not-examined", name, "of no format that is known here; its bytes were not looked at"
        )


def _is_torn(part: Listing, context: CheckContext) -> bool:
    """Whether an object or list in JSON has lost its end; a tokenizer is too large to parse."""
    first = head(part, context).lstrip()[:1]
    with Source(part, context) as source:
        size = min(source.size, _TAIL)
        last = source.at(source.size - size, size).rstrip()[-1:]
    # A zero byte is a hole where text was.
    return first in (b"{", b"[", b"\0") and first + last not in (b"{}", b"[]")


def holds_weights(name: str, context: CheckContext) -> bool:
    """Whether a file name is one of weights or training state."""
    return any(name.endswith(form.weights) for form in context.formats)
