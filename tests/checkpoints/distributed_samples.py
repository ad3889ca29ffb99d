"""Distributed checkpoints of PyTorch, built byte by byte, so that each of their facts can be made a lie."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path

from tests.checkpoints.samples import tensor, text, torch_file, write, zip_file

_METADATA = "torch.distributed.checkpoint.metadata"
_FILESYSTEM = "torch.distributed.checkpoint.filesystem"


# -- pickles
# -----------------------------------------------------------------------------------------------------------
def number(value: int) -> bytes:
    return b"\x8a\x09" + value.to_bytes(9, "little", signed=True)


def size(values: Sequence[int]) -> bytes:
    return b"ctorch\nSize\n(" + b"".join(map(number, values)) + b"t\x85R"


def mapping(pairs: Sequence[tuple[bytes, bytes]]) -> bytes:
    return b"}(" + b"".join(key + value for key, value in pairs) + b"u"


def instance(name: str, fields: Mapping[str, bytes], module: str = _METADATA) -> bytes:
    state = mapping([(text(key), value) for key, value in fields.items()])
    return b"c" + f"{module}\n{name}\n".encode() + b")\x81" + state + b"b"


# -- pieces
# ------------------------------------------------------------------------------------------------------------
def tensor_piece(shape: Sequence[int], start: float = 1.0) -> bytes:
    """The small torch file of a float32 tensor that counts up."""
    strides = [prod(shape[place + 1 :]) for place in range(len(shape))]
    data = struct.pack(f"<{prod(shape)}f", *(start + index for index in range(prod(shape))))
    return torch_file(b"\x80\x02" + tensor("0", prod(shape), shape, strides) + b".", data)


def object_piece(pickle: bytes) -> bytes:
    """The small torch file of an object without tensors."""
    return zip_file(
        [
            ("a/data.pkl", b"\x80\x02" + pickle + b"."),
            ("a/byteorder", b"little"),
            ("a/version", b"3\n"),
        ]
    )


@dataclass(frozen=True)
class Piece:
    """
    One piece and what ``.metadata`` says of its place.

    :param offsets: ``None`` for an object.
    :param begin: a lie about its place; the truth by default.
    """

    name: str
    offsets: tuple[int, ...] | None
    content: bytes
    file: str = "__0_0.distcp"
    begin: int | None = None
    length: int | None = None
    compressed: bool = False


@dataclass(frozen=True)
class Announced:
    """One tensor as ``.metadata`` announces it: pieces are offsets to sizes."""

    shape: tuple[int, ...]
    chunks: Mapping[tuple[int, ...], tuple[int, ...]]
    dtype: str = "float32"
    layout: str = "torch.strided"


@dataclass(frozen=True)
class Save:
    """A whole distributed checkpoint."""

    tensors: Mapping[str, Announced]
    pieces: Sequence[Piece]
    objects: Sequence[str] = ("global_step",)
    paths: Mapping[str, Sequence[str]] | None = None
    fields: Mapping[str, bytes] = field(default_factory=dict)
    """Lies about the fields of ``Metadata``."""

    def files(self) -> dict[str, bytes]:
        """Content of the files of all ranks."""
        found: dict[str, bytes] = {}
        for piece in self.pieces:
            found[piece.file] = found.get(piece.file, b"") + piece.content
        return found

    def metadata(self) -> bytes:
        """The pickle."""
        entries = [(text(name), _announced(it)) for name, it in self.tensors.items()]
        entries += [(text(name), instance("BytesStorageMetadata", {})) for name in self.objects]
        paths = (
            {name: name.split(".") for name in (*self.tensors, *self.objects)}
            if self.paths is None
            else self.paths
        )
        planner = mapping(
            [(text(k), b"(" + b"".join(map(text, path)) + b"t") for k, path in paths.items()]
        )
        truth = {
            "state_dict_metadata": mapping(entries),
            "planner_data": planner,
            "storage_data": mapping(self._places()),
            "version": text("1.0.0"),
        }
        return b"\x80\x02" + instance("Metadata", truth | dict(self.fields)) + b"."

    def _places(self) -> list[tuple[bytes, bytes]]:
        ends: dict[str, int] = {}
        places = []
        for piece in self.pieces:
            begin = ends.get(piece.file, 0)
            ends[piece.file] = begin + len(piece.content)
            where = b"N" if piece.offsets is None else size(piece.offsets)
            key = instance(
                "MetadataIndex", {"fqn": text(piece.name), "offset": where, "index": b"N"}
            )
            info = {
                "relative_path": text(piece.file),
                "offset": number(begin if piece.begin is None else piece.begin),
                "length": number(len(piece.content) if piece.length is None else piece.length),
            }
            info |= (
                {"transform_descriptors": b"]" + text("zstd") + b"a"} if piece.compressed else {}
            )
            places.append((key, instance("_StorageInfo", info, _FILESYSTEM)))
        return places

    def write(self, folder: Path) -> Path:
        """Write it into a new or existing directory."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in self.files().items():
            write(folder / name, content)
        write(folder / ".metadata", self.metadata())
        return folder


def _announced(it: Announced) -> bytes:
    memory = b"c" + f"{_METADATA}\n_MEM_FORMAT_ENCODING\n".encode() + b"K\x00\x85R"
    layout = b"ctorch.serialization\n_get_layout\n" + text(it.layout) + b"\x85R"
    state = b"(ctorch\n" + it.dtype.encode() + b"\n" + layout + b"\x89" + memory + b"\x89t"
    properties = b"c" + f"{_METADATA}\nTensorProperties\n".encode() + b")\x81" + state + b"b"
    chunks = [
        instance("ChunkStorageMetadata", {"offsets": size(a), "sizes": size(b)})
        for a, b in it.chunks.items()
    ]
    fields = {
        "properties": properties,
        "size": size(it.shape),
        "chunks": b"](" + b"".join(chunks) + b"e",
    }
    return instance("TensorStorageMetadata", fields)


WEIGHT = Announced((4, 3), {(0, 0): (2, 3), (2, 0): (2, 3)})
PIECES = (
    Piece("global_step", None, object_piece(b"K\x04")),
    Piece("model.weight", (0, 0), tensor_piece((2, 3))),
    Piece("model.weight", (2, 0), tensor_piece((2, 3), 7.0), "__1_0.distcp"),
)
GOOD = Save({"model.weight": WEIGHT}, PIECES)
