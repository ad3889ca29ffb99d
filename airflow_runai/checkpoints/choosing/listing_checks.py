"""Level 0: lists a checkpoint and judges names, sizes and kinds without opening a file."""

from __future__ import annotations

import errno
from functools import partial

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.reader import unreadable
from airflow_runai.checkpoints.choosing.roots import checkpoints_in
from airflow_runai.checkpoints.formats import WEIGHTS
from airflow_runai.checkpoints.formats.published import MANIFEST
from airflow_runai.checkpoints.storage.checkpoint_files import list_checkpoint
from airflow_runai.checkpoints.storage.listing import FileEntry, Listing, Location, is_temporary

_MARKERS = ("checkpoint-is-incomplete.txt",)
_UNFINISHED = ("tmp", "part", "incomplete")
_NEVER_EMPTY = (*WEIGHTS, ".pkl", ".pickle", ".json", ".index", ".metadata")


def list_and_note(path: Location, context: CheckContext) -> Listing:
    """List a checkpoint and note what rules it out already."""
    limit = context.request.policy.entry_limit
    try:
        tree = list_checkpoint(path, limit, partial(note_error, context))
    except Exception as error:  # storage libraries raise what they like
        note_error(context, path.name, error)
        return Listing(path, path.name)
    _note_unfinished(tree, path.name, context)
    _note_extent(tree, limit, context)
    for name, entry in tree.files.items():
        _note_unfinished_file(tree, name, entry, context)
    if not context.refused:
        _note_root(tree, context)
    return tree


def _note_extent(tree: Listing, limit: int, context: CheckContext) -> None:
    if tree.truncated:
        text = f"more than {limit} entries (or 16 levels); it was not examined"
        context.note("too-many-entries", tree.label, text)
    _note_unusual_entries(tree, context)
    # Not if files could not be listed: whether there are any is not known then.
    if not tree.single and not tree.files and not context.refused:
        text = "an empty directory; the trainer was probably killed before it wrote"
        context.note("empty-directory", tree.label, text)


def _note_unfinished(tree: Listing, name: str, context: CheckContext) -> None:
    if is_temporary(name):
        text = "the name says that it is still being written; look again later"
        context.note("temporary-name", tree.label, text)
    for marker in _MARKERS:
        if tree.has_top_level(marker):
            text = "present while the trainer is writing; look again later"
            context.note("incomplete-marker", marker, text)


def note_error(context: CheckContext, name: str, error: Exception) -> None:
    """Note why something could not be listed."""
    if isinstance(error, FileNotFoundError):
        text = "does not exist (or is a link to nothing); check the path and its mount"
        context.note("missing", name, text)
    # Some methods of pathlib turn ELOOP into a RuntimeError.
    elif isinstance(error, RuntimeError) or getattr(error, "errno", None) == errno.ELOOP:
        context.note("link-loop", name, "a link that leads back to itself")
    else:
        context.note("unreadable", name, unreadable(error))


def note_changes(path: Location, before: Listing, context: CheckContext) -> None:
    """List again: a checkpoint that changed while it was read is not bad but unfinished."""
    errors: dict[str, Exception] = {}
    limit = context.request.policy.entry_limit
    try:
        after = list_checkpoint(path, limit, errors.__setitem__)
    except Exception as error:  # storage libraries raise what they like
        after = Listing(path, before.label)
        errors[before.label] = error
    for name, met in errors.items():
        if not isinstance(met, FileNotFoundError):
            # The storage no longer answers, which is no sign of a writer.
            note_error(context, name, met)
            return
    if after.fingerprint != before.fingerprint:
        text = "sizes or times changed while it was read; look again later"
        context.note("changing", before.label, text)


def _note_unusual_entries(tree: Listing, context: CheckContext) -> None:
    for name, entry in tree.others.items():
        if entry.kind == "special":
            text = "a fifo, socket or device; regular files are allowed; it was not opened"
            context.note("special-file", name, text)
        elif entry.kind == "link":
            code = "link" if tree.has_top_level(MANIFEST) else "not-examined"
            text = "a link to a directory; copy the directory instead; it was not followed"
            context.note(code, name, text)


def _note_unfinished_file(
    tree: Listing, name: str, entry: FileEntry, context: CheckContext
) -> None:
    final, _, ending = name.rpartition(".")
    if ending in _UNFINISHED and final.endswith(WEIGHTS) and final not in tree.files:
        context.note("incomplete-marker", name, f"{final} is not there yet; look again later")
    if entry.size == 0 and (tree.single or name.endswith(_NEVER_EMPTY)):
        text = "0 bytes; the trainer or its node died before the content reached the disk"
        context.note("empty-file", name, text)


def _note_root(tree: Listing, context: CheckContext) -> None:
    names = checkpoints_in(tree)
    if names:
        listed = ", ".join(names[:3]) + (", …" if len(names) > 3 else "")
        text = f"a root with {len(names)} checkpoints ({listed})"
        advice = "use select to choose one, or check one of them"
        context.note("is-root", tree.label, f"{text}; {advice}")
