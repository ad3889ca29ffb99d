"""Finds the format of a file or directory, and has it checked by that format."""

from __future__ import annotations

from dataclasses import replace

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.storage.listing import Listing


def examine(tree: Listing, context: CheckContext) -> str | None:
    """
    Check a file or directory with the first format that recognises it.

    :return: name of the format, ``None`` if no format recognises it.
    """
    if context.level == 2 and tree.single and tree.files.keys() & context.account.checksum_matched:
        # The object store has proven the bytes: structure is all that is left to read.
        context = replace(context, request=replace(context.request, level=1))
    form = None
    try:
        form = recognise(tree, context)
        if form is not None:
            form.examine(tree, context)
    except FormatError as error:
        context.note(error.code, tree.label, error.message)
    return None if form is None else form.name


def recognise(tree: Listing, context: CheckContext) -> Format | None:
    """
    Find the format that the bytes prove, or else the one that the name means a damaged file to be.

    :raises FormatError: when it cannot be read.
    """
    for form in context.formats:
        if form.detect(tree, context):
            return form
    # Only now: a name must not keep another format from recognising the bytes.
    for form in context.formats:
        if form.meant(tree, context):
            return form
    return None
