"""
A directory with files of known formats, as a script or ``save_pretrained`` writes it.

Every file is checked by its own format. Without a manifest it is not known which files are missing.
"""

from __future__ import annotations

import re

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.checking.recognition import recognise
from airflow_runai.checkpoints.formats.parts import examine_parts, holds_weights
from airflow_runai.checkpoints.storage.listing import Listing

_PUBLISHED_NAME = re.compile(r"step-\d{8,}")
_TRAINERS_NAME = re.compile(r"checkpoint-\d+")


def _detect(tree: Listing, context: CheckContext) -> bool:
    """
    Return whether any file is of a known format; files named like weights come first.

    If a manifest proves the files, none is read for this: on object storage a read is a request.
    """
    if tree.single:
        return False
    weights = [name for name in sorted(tree.files) if holds_weights(name, context)]
    if not context.account.manifest_verified.isdisjoint(weights):
        return True
    others = sorted(tree.files.keys() - set(weights))
    return any(_is_known(tree, context, name) for name in (*weights, *others))


def _is_known(tree: Listing, context: CheckContext, name: str) -> bool:
    if not tree.files[name].size:
        return holds_weights(name, context)
    try:
        return recognise(tree.narrowed_to(name), context) is not None
    except FormatError:
        # It cannot be read now; its own check says why.
        return holds_weights(name, context)


def _examine(tree: Listing, context: CheckContext) -> None:
    # Inside a published directory the manifest is excluded, and was there.
    if _PUBLISHED_NAME.fullmatch(tree.root.name) and not context.account.excluded:
        context.note(
            "manifest-missing",
            tree.label,
            "manifest.json is missing; whether all files are there cannot be proven",
        )
    if _TRAINERS_NAME.fullmatch(tree.root.name):
        context.note(
            "trainer-in-name-only",
            tree.label,
            "is called as the Trainer's are, and nothing else in it is the Trainer's; "
            "whether it is whole is not known",
        )
    examine_parts(tree, context)


DIRECTORY = Format("directory", _detect, _examine)
