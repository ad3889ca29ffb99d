"""
A text file that names one of several checkpoints in a directory, as of DeepSpeed and Megatron.

It is not written atomically, so it may be empty, or name a checkpoint that was never finished; then
the newest is checked, and a finding says so.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.formats.claims import claim
from airflow_runai.checkpoints.storage.listing import Listing

# A name, a file name at most.
_SIZE_LIMIT = 256


def follow(tree: Listing, context: CheckContext, pointer: str, folders: dict[str, str]) -> str:
    """
    Choose one of several folders, claim the step in its name, and exclude the other files.

    :param pointer: name of the text file; it may be missing.
    :param folders: what the text may say, and the folder it means; at least one.
    :return: the folder.
    """
    named = _text(tree, context, pointer) if tree.has_top_level(pointer) else None
    if named in folders:
        chosen = folders[named]
    else:
        chosen = max(folders.values(), key=lambda folder: (step_in_name(folder) or -1, folder))
        if named is not None:
            _note_broken(tree, context, pointer, named, chosen)
    step = step_in_name(chosen)
    if step is not None:
        claim(context, f"the name {chosen!r}", step)
    others = set(folders.values()) - {chosen}
    for name in tree.files:
        if name == pointer or name.partition("/")[0] in others:
            context.account.excluded.add(name)
    return chosen


def _note_broken(
    tree: Listing, context: CheckContext, pointer: str, named: str, chosen: str
) -> None:
    # A link may lead to a file whose text must not be shown.
    target = "what a link leads to" if tree.files[pointer].linked else shown(named)
    context.note(
        "pointer-broken",
        pointer,
        f"names {target}, which is not there; {chosen} is the newest and was looked at instead",
    )


def _text(tree: Listing, context: CheckContext, pointer: str) -> str:
    data = b""
    with context.noting(pointer), Source(tree.narrowed_to(pointer), context) as source:
        data = source.at(0, min(source.size, _SIZE_LIMIT))
    return data.decode("utf-8", "replace").strip()
