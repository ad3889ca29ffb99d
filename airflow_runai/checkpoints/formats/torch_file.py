"""A file of ``torch.save`` of any age, for formats that consist of such files."""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.formats.claims import Inspect
from airflow_runai.checkpoints.formats.heads import head
from airflow_runai.checkpoints.formats.legacy_torch import examine_legacy, is_legacy
from airflow_runai.checkpoints.formats.torch_zip import examine_archive
from airflow_runai.checkpoints.storage.listing import Listing


def examine_torch_file(tree: Listing, context: CheckContext, inspect: Inspect) -> None:
    """
    Check one file.

    :param inspect: called with the inert root of its pickle.
    :raises FormatError: as the format that it is, or was meant to be.
    """
    examine = examine_legacy if is_legacy(head(tree, context)) else examine_archive
    examine(tree, context, inspect)


def examine_part(tree: Listing, context: CheckContext, name: str, inspect: Inspect) -> None:
    """Check one file of a directory; damage is noted and does not hide the others."""
    if context.level < 1 or not tree.files[name].size:
        return
    with context.noting(name):
        examine_torch_file(tree.narrowed_to(name), context, inspect)
