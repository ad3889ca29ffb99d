"""The record that describes one checkpoint format; ``formats`` has one module for each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_runai.checkpoints.storage.listing import Listing

if TYPE_CHECKING:
    from airflow_runai.checkpoints.checking.context import CheckContext


@dataclass(frozen=True)
class Format:
    """
    One way of writing checkpoints.

    :param name: as it appears in reports.
    :param detect: whether the bytes prove that it is this format and no other; may read a few.
    :param examine: checks it at the level of the request and notes findings; may raise
        :class:`~airflow_runai.checkpoints.checking.format_error.FormatError`.
    :param meant: whether the name says that a damaged file was meant to be this format; asked only
        if no bytes prove any format.
    :param weights: endings of files that hold weights or training state.
    """

    name: str
    detect: Callable[[Listing, CheckContext], bool]
    examine: Callable[[Listing, CheckContext], None]
    meant: Callable[[Listing, CheckContext], bool] = lambda tree, context: False
    weights: tuple[str, ...] = ()
