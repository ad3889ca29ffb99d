"""
A directory of several checkpoints with a small text file that names the one to load, as DeepSpeed and Megatron keep.

The file is written in place and not atomically, so it may be empty, or name what never came to be;
then the newest is taken, and said so.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.checking.steps import step_in_name
from airflow_runai.checkpoints.storage.listing import Listing

_SIZE_LIMIT = 256


def follow(tree: Listing, context: CheckContext, pointer: str, folders: dict[str, str]) -> str:
    """
    Choose one of several folders; files of the others are no part of the checkpoint then.

    :param pointer: name of the text file; it may be missing.
    :param folders: what the text may say, to the folder that is meant by it; at least one.
    :return: the folder.
    """
    named = _text(tree, context, pointer) if tree.has_top_level(pointer) else None
    newest = max(folders, key=lambda text: (step_in_name(folders[text]) or -1, folders[text]))
    if named is not None and named not in folders:
        # A link may lead to a file whose text is nobody's business here.
        told = "what a link leads to" if tree.files[pointer].linked else shown(named)
        text = f"names {told}, which is not there; {folders[newest]} is the newest and was looked at instead"
        context.note("pointer-broken", pointer, text)
    chosen = folders[named if named in folders else newest]
    others = set(folders.values()) - {chosen}
    context.account.excluded.update(
        name for name in tree.files if name == pointer or name.partition("/")[0] in others
    )
    return chosen


def _text(tree: Listing, context: CheckContext, pointer: str) -> str:
    try:
        with Source(tree.narrowed_to(pointer), context) as source:
            return source.at(0, min(source.size, _SIZE_LIMIT)).decode("utf-8", "replace").strip()
    except FormatError as damage:
        context.note(damage.code, pointer, damage.message)
        return ""
