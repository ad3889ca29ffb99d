"""
Models of Keras 3: ``.keras``, a zip file of a configuration and weights.

Every byte is proven by the CRC32s of the zip file. The configuration is parsed as JSON and never
deserialized, because that can run code. The weights inside are HDF5: their length is checked here,
and with h5py (extra ``hdf5``) their values are tested in a process of their own.
"""

from __future__ import annotations

from collections.abc import Collection

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.containers.bounded_reader import BoundedReader
from airflow_runai.checkpoints.containers.json_documents import SIZE_LIMIT, parse_object
from airflow_runai.checkpoints.containers.keras_config import note_config
from airflow_runai.checkpoints.containers.zip_archive import STORED, Member, read_directory
from airflow_runai.checkpoints.formats.hdf5 import check_superblock, read_datasets
from airflow_runai.checkpoints.formats.heads import head, meant_by, members
from airflow_runai.checkpoints.formats.members import MemberPass, beginning, prove
from airflow_runai.checkpoints.storage.listing import Listing

_CODE = "keras-layout"
_CONFIG = "config.json"
_METADATA = "metadata.json"
_DOCUMENTS = (_CONFIG, _METADATA)


def _detect(tree: Listing, context: CheckContext) -> bool:
    if not head(tree, context).startswith(b"PK\3\4"):
        return False
    names = members(tree, context)
    return set(_DOCUMENTS) <= set(names) and any(map(_holds_weights, names))


def _holds_weights(name: str) -> bool:
    # model.weights.h5, or .npz, or the parts of a sharded one.
    return name.startswith("model") and ".weights." in name


def _examine(tree: Listing, context: CheckContext) -> None:
    if context.level < 1:
        return
    with Source(tree, context) as source:
        members = read_directory(source)
        _check_documents(source, members, context)
        weights = list(filter(_is_readable, members))
        for member in weights:
            check_superblock(_inside(source, member).bytes, member.size)
        if context.level >= 2:
            passes = [MemberPass(member) for member in members if member.packed]
            prove(source, passes, context)
    # A library that reads damaged bytes says nothing more of use.
    if context.level >= 3 and not context.refused:
        for member in weights:
            read_datasets(tree, member.begin, member.size, context)


def _check_documents(source: Source, members: list[Member], context: CheckContext) -> None:
    by_name = {member.name: member for member in members}
    _check_members(by_name)
    note_config(_whole(source, by_name[_CONFIG]), source.name, context)
    parse_object(_whole(source, by_name[_METADATA]), _CODE, _METADATA)


def _is_readable(member: Member) -> bool:
    # Keras stores HDF5 unpacked; a packed one could only be read from its beginning.
    return member.method == STORED and member.name.endswith(".h5")


def _check_members(names: Collection[str]) -> None:
    missing = [name for name in _DOCUMENTS if name not in names]
    if not any(map(_holds_weights, names)):
        missing.append("model.weights.h5")
    if missing:
        raise FormatError(
            _CODE,
            f"{' and '.join(missing)} missing; Keras writes configuration, metadata and weights",
        )
    for name in names:
        if not _is_known(name):
            raise FormatError(_CODE, f"member {shown(name)} is none that Keras writes")


def _is_known(name: str) -> bool:
    return name in _DOCUMENTS or _holds_weights(name) or name.startswith("assets/")


def _whole(source: Source, member: Member) -> bytes:
    if member.size > SIZE_LIMIT:
        raise FormatError(
            "too-large",
            f"member {shown(member.name)} of {member.size} bytes; at most {SIZE_LIMIT} are read",
        )
    return beginning(source, member, member.size)


def _inside(source: Source, member: Member) -> BoundedReader:
    return BoundedReader(
        lambda at, size: source.at(member.begin + at, size), member.size, "hdf5-superblock"
    )


KERAS = Format("keras", _detect, _examine, meant_by(".keras"), weights=(".keras",))
