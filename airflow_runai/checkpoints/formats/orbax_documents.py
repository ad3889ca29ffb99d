"""
The documents beside the values of an item of Orbax: what the tree names, and that each can be read as Orbax reads it.

None has a checksum. What is said twice is compared, and what a loader of Orbax needs must be there
(0.12.8): a name in the tree is its keys, values of JAX have a sharding and a shape that was
written, texts are in a file of their own.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.containers.json_documents import parse_object, read_object
from airflow_runai.checkpoints.storage.listing import Listing

_CODE = "orbax-layout"
_TREE, _SHARDING, _TEXTS, _SHAPES = "_METADATA", "_sharding", "_strings.json", "array_metadatas/"
_SHARDINGS = ("NamedSharding", "SingleDeviceSharding")
_JAX, _TEXT = "jax.Array", "string"
_ARRAYS = (_JAX, "np.ndarray", "scalar")
_SWITCHES = ("use_ocdbt", "use_zarr3", "store_array_data_equal_to_fill_value")


@dataclass(frozen=True)
class ItemTree:
    """
    What the tree of an item says.

    :param values: kind of each value by its name, keys joined by dots.
    :param everything: whether pieces that equal the fill value were written, too.
    """

    values: Mapping[str, str]
    everything: bool

    @property
    def arrays(self) -> list[str]:
        """Names of what lies in an array."""
        return [name for name, kind in self.values.items() if kind in _ARRAYS]


def read_item_tree(tree: Listing, context: CheckContext, item: str) -> ItemTree:
    """
    Read all documents of an item.

    :param item: its directory with ``/`` behind it, nothing for the top.
    :raises FormatError: ``json-malformed``, ``orbax-layout`` or ``file-missing``.
    """
    if item + _TREE not in tree.files:
        raise FormatError("file-missing", f"{_TREE} is missing; Orbax cannot tell what is in it")
    told = read_object(tree, context, item + _TREE)
    for switch in _SWITCHES:
        if not isinstance(told.get(switch, False), bool):
            raise FormatError(
                _CODE, f"{_TREE}: {switch} is {shown(told[switch])}; it was overwritten"
            )
    entries = told.get("tree_metadata")
    if not isinstance(entries, dict):
        raise FormatError(_CODE, f"{_TREE} has no tree_metadata; it was overwritten")
    values = dict(_value(path, entry) for path, entry in entries.items())
    _check_texts(tree, context, item, values)
    _check_sharding(tree, context, item, values)
    _check_shapes(tree, context, item)
    return ItemTree(values, told.get("store_array_data_equal_to_fill_value") is True)


def _value(path: str, entry: object) -> tuple[str, str]:
    match entry:
        case {
            "key_metadata": [*keys],
            "value_metadata": {"value_type": str(kind), "skip_deserialize": bool()},
        }:
            parts = tuple(_key(key) for key in keys)
            if str(parts) == path:
                return ".".join(map(str, parts)), kind
    raise FormatError(
        _CODE, f"{_TREE}: the entry {shown(path)} contradicts itself; it was overwritten"
    )


def _key(key: object) -> object:
    match key:
        case {"key": str() | int() as name, "key_type": int()}:
            return name
    raise FormatError(_CODE, f"{_TREE}: {shown(str(key))} is no key; it was overwritten")


def _check_texts(
    tree: Listing, context: CheckContext, item: str, values: Mapping[str, str]
) -> None:
    wanted = {name for name, kind in values.items() if kind == _TEXT}
    told = read_object(tree, context, item + _TEXTS) if item + _TEXTS in tree.files else {}
    if wanted - set(told):
        raise FormatError(
            "file-missing", f"{_TEXTS} lacks the text {shown(min(wanted - set(told)))}"
        )


def _check_sharding(
    tree: Listing, context: CheckContext, item: str, values: Mapping[str, str]
) -> None:
    wanted = {name for name, kind in values.items() if kind == _JAX}
    if item + _SHARDING not in tree.files:
        if wanted:
            raise FormatError(
                "file-missing", f"{_SHARDING} is missing; {shown(min(wanted))} is an array of JAX"
            )
        return
    told = read_object(tree, context, item + _SHARDING)
    for name, value in told.items():
        where = parse_object(str(value).encode(), _CODE, f"{_SHARDING}: {shown(name)}")
        if where.get("sharding_type") not in _SHARDINGS:
            kind = shown(where.get("sharding_type"))
            raise FormatError(
                _CODE,
                f"{_SHARDING}: {kind} is none of {', '.join(_SHARDINGS)}, which Orbax can restore",
            )
    try:
        names = {base64.b64decode(name, validate=True).decode() for name in told}
    except ValueError:
        raise FormatError(_CODE, f"{_SHARDING} names what is no name; it was overwritten") from None
    if wanted - names:
        raise FormatError(
            _CODE, f"{_SHARDING} lacks {shown(min(wanted - names))}; it was overwritten"
        )


def _check_shapes(tree: Listing, context: CheckContext, item: str) -> None:
    for name in sorted(tree.files):
        if name.startswith(item + _SHAPES):
            for entry in _shapes(read_object(tree, context, name), name):
                match entry:
                    case {
                        "array_metadata": {
                            "param_name": str(),
                            "write_shape": [*_],
                            "chunk_shape": [*_],
                        }
                    }:
                        continue
                raise FormatError(
                    _CODE, f"{name} has an entry without name and shapes; it was overwritten"
                )


def _shapes(told: Mapping[str, Any], name: str) -> Iterator[object]:
    entries = told.get("array_metadatas")
    if not isinstance(entries, list):
        raise FormatError(_CODE, f"{name} has no array_metadatas; it was overwritten")
    yield from entries
