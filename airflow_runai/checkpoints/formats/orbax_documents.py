"""
The JSON documents beside the values of an Orbax item, checked for what a loader needs.

None has a checksum. What is stated twice is compared, and what a loader of Orbax needs must be
there (0.12.8): a name in the tree is its keys, values of JAX have a sharding and a shape that was
written, texts are in a separate file.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.containers.json_documents import parse_object, read_object
from airflow_runai.checkpoints.storage.listing import Listing

_CODE = "orbax-layout"
_TREE = "_METADATA"
_SHARDING = "_sharding"
_TEXTS = "_strings.json"
_SHAPES = "array_metadatas/"
_SHARDINGS = ("NamedSharding", "SingleDeviceSharding")
_JAX = "jax.Array"
_TEXT = "string"
_ARRAYS = (_JAX, "np.ndarray", "scalar")
_SWITCHES = ("use_ocdbt", "use_zarr3", "store_array_data_equal_to_fill_value")


#: Kind of each value by its name.
Kinds = Mapping[str, str]


@dataclass(frozen=True)
class ItemTree:
    """
    The tree of an item.

    :param values: kind of each value by its name, keys joined by dots.
    :param everything: whether pieces that equal the fill value were written too.
    """

    values: Kinds
    everything: bool

    @property
    def arrays(self) -> list[str]:
        """Names of the values that are arrays."""
        return [name for name, kind in self.values.items() if kind in _ARRAYS]


def read_item_tree(tree: Listing, context: CheckContext, item: str) -> ItemTree:
    """
    Read all documents of an item.

    :param item: its directory with ``/`` behind it, nothing for the top.
    :raises FormatError: ``json-malformed``, ``orbax-layout`` or ``file-missing``.
    """
    if item + _TREE not in tree.files:
        raise _missing(f"{_TREE} is missing; Orbax cannot tell what is in it")
    document = read_object(tree, context, item + _TREE)
    _check_switches(document)
    entries = document.get("tree_metadata")
    if not isinstance(entries, dict):
        raise _overwritten(f"{_TREE} has no tree_metadata")
    values = dict(_value(path, entry) for path, entry in entries.items())
    _check_texts(tree, context, item, values)
    _check_sharding(tree, context, item, values)
    _check_shapes(tree, context, item)
    return ItemTree(values, document.get("store_array_data_equal_to_fill_value") is True)


def _check_switches(document: Mapping[str, object]) -> None:
    for switch in _SWITCHES:
        value = document.get(switch, False)
        # A text such as "false" would count as true.
        if not isinstance(value, bool):
            raise _overwritten(f"{_TREE}: {switch} is {shown(value)}")


def _missing(text: str) -> FormatError:
    return FormatError("file-missing", text)


def _overwritten(text: str) -> FormatError:
    return FormatError(_CODE, f"{text}; it was overwritten")


def _value(path: str, entry: object) -> tuple[str, str]:
    match entry:
        case {
            "key_metadata": [*keys],
            "value_metadata": {"value_type": str(kind), "skip_deserialize": bool()},
        }:
            parts = tuple(map(_key, keys))
            # Orbax names an entry as Python renders the tuple of its keys.
            if str(parts) == path:
                return ".".join(map(str, parts)), kind
    raise _overwritten(f"{_TREE}: the entry {shown(path)} contradicts itself")


def _key(key: object) -> object:
    match key:
        case {"key": str() | int() as name, "key_type": int()}:
            return name
    raise _overwritten(f"{_TREE}: {shown(str(key))} is no key")


def _names(values: Kinds, kind: str) -> set[str]:
    return {name for name, value_kind in values.items() if value_kind == kind}


def _check_texts(tree: Listing, context: CheckContext, item: str, values: Kinds) -> None:
    path = item + _TEXTS
    texts = read_object(tree, context, path) if path in tree.files else {}
    missing = _names(values, _TEXT) - texts.keys()
    if missing:
        raise _missing(f"{_TEXTS} lacks the text {shown(min(missing))}")


def _check_sharding(tree: Listing, context: CheckContext, item: str, values: Kinds) -> None:
    jax = _names(values, _JAX)
    if item + _SHARDING not in tree.files:
        # Arrays of NumPy need none.
        if jax:
            raise _missing(f"{_SHARDING} is missing; {shown(min(jax))} is an array of JAX")
        return
    shardings = read_object(tree, context, item + _SHARDING)
    for name, value in shardings.items():
        _check_kind(name, value)
    lacking = jax - _decoded(shardings)
    if lacking:
        raise _overwritten(f"{_SHARDING} lacks {shown(min(lacking))}")


def _check_kind(name: str, value: object) -> None:
    # Each sharding is JSON in a text of the JSON document.
    sharding = parse_object(str(value).encode(), _CODE, f"{_SHARDING}: {shown(name)}")
    kind = sharding.get("sharding_type")
    if kind not in _SHARDINGS:
        known = ", ".join(_SHARDINGS)
        raise FormatError(
            _CODE, f"{_SHARDING}: {shown(kind)} is none of {known}, which Orbax can restore"
        )


def _decoded(names: Iterable[str]) -> set[str]:
    try:
        return {base64.b64decode(name, validate=True).decode() for name in names}
    except ValueError:
        raise _overwritten(f"{_SHARDING} names what is no name") from None


def _check_shapes(tree: Listing, context: CheckContext, item: str) -> None:
    # A document of each process.
    names = [name for name in sorted(tree.files) if name.startswith(item + _SHAPES)]
    for name in names:
        entries = read_object(tree, context, name).get("array_metadatas")
        if not isinstance(entries, list):
            raise _overwritten(f"{name} has no array_metadatas")
        if not all(map(_has_shapes, entries)):
            raise _overwritten(f"{name} has an entry without name and shapes")


def _has_shapes(entry: object) -> bool:
    match entry:
        case {"array_metadata": {"param_name": str(), "write_shape": [*_], "chunk_shape": [*_]}}:
            return True
    return False
