"""
A bare pickle.

It is interpreted to find out whether loading it would run something; nothing proves its bytes.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.formats.heads import head, meant_by
from airflow_runai.checkpoints.pickles.globals import noting_globals
from airflow_runai.checkpoints.pickles.interpreter import PICKLE_SIZE_LIMIT, interpret, load_inert
from airflow_runai.checkpoints.pickles.machine import Machine
from airflow_runai.checkpoints.pickles.stream import Cut
from airflow_runai.checkpoints.pickles.values import walk
from airflow_runai.checkpoints.storage.listing import Listing

_MEANT = meant_by(".pkl", ".pickle", ".joblib")
# zlib, in which joblib packs; its second byte makes the two a multiple of 31.
_PACKED = (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda")
_PROTOCOLS = (b"\x80\2", b"\x80\3", b"\x80\4", b"\x80\5")
_JOBLIB = ("joblib.numpy_pickle", "NumpyArrayWrapper")


def _detect(tree: Listing, context: CheckContext) -> bool:
    return _begins_as_pickle(head(tree, context))


def _begins_as_pickle(first: bytes) -> bool:
    """
    Return whether a file begins with a protocol (2 to 5) and instructions, or names something.

    The mark of a pickle has only two bytes, with which many files begin; but what names a function
    may run it, whatever follows.
    """
    if len(first) < 3 or not first.startswith(_PROTOCOLS):
        return False
    # A frame of more than a terabyte.
    if first.startswith(b"\x95", 2) and any(first[8:11]):
        return False
    names: list[tuple[str, str]] = []
    machine = Machine(first, 0, lambda *name: names.append(name))
    try:
        interpret(machine)
    except FormatError as damage:
        # 512 bytes cut most pickles; other damage than to the syntax is a pickle's, too.
        return bool(names) or isinstance(damage, Cut) or damage.code != "pickle-malformed"
    except (IndexError, KeyError):
        return bool(names)
    return True


def _meant(tree: Listing, context: CheckContext) -> bool:
    return _MEANT(tree, context) and head(tree, context)[:2] not in _PACKED


def _examine(tree: Listing, context: CheckContext) -> None:
    if context.level < 1:
        return
    with Source(tree, context) as source:
        data = source.at(0, min(source.size, PICKLE_SIZE_LIMIT + 1))
    with noting_globals(tree.label, context) as mentions:
        try:
            root = load_inert(data, mentions)
            # The objects alone may take as much memory again.
            del data
            # Walking refuses what is nested too deeply for a loader.
            for _ in walk(root):
                pass
        except FormatError:
            if _JOBLIB in mentions:
                raise FormatError(
                    "format-unknown",
                    "joblib's own kind of pickle, with the bytes of arrays between its "
                    "instructions; it is not read",
                ) from None
            raise
    context.note_unproven("pickle-no-checksum", tree.label, "a pickle holds no checksum")


PICKLE_FILE = Format("pickle", _detect, _examine, _meant)
