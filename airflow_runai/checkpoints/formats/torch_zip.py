"""
Files of ``torch.save``: ``.pt .pth .ckpt .bin``, including Lightning's.

They are zip archives of one pickle and one member per storage. Does not read the formats before
PyTorch 1.6, nor TorchScript. The layout is what torch 2.13 writes; every member is accounted for,
so that nothing can hide inside.
"""

from __future__ import annotations

import re
import zlib
from dataclasses import dataclass, field

from airflow_runai.checkpoints.checking.context import CheckContext, Format
from airflow_runai.checkpoints.checking.float_layouts import ByteOrder
from airflow_runai.checkpoints.checking.format_error import FormatError, shown
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from airflow_runai.checkpoints.checking.reader import Source
from airflow_runai.checkpoints.containers.zip_archive import STORED, Member, read_directory
from airflow_runai.checkpoints.formats.claims import Inspect, claim_optimizer_steps, claim_steps
from airflow_runai.checkpoints.formats.heads import meant_by, members
from airflow_runai.checkpoints.formats.members import MemberPass, note_damaged, unpacked
from airflow_runai.checkpoints.formats.runs import count_tensors
from airflow_runai.checkpoints.pickles.globals import noting_globals
from airflow_runai.checkpoints.pickles.interpreter import PICKLE_SIZE_LIMIT, load_inert
from airflow_runai.checkpoints.pickles.storage_views import StorageContent
from airflow_runai.checkpoints.pickles.tensors import Contents, Tensor, read_contents
from airflow_runai.checkpoints.storage.listing import Listing

_PICKLE = re.compile(r"[^/]+/data\.pkl")
_OWN = re.compile(r"[^/]+/(?:data\.pkl|constants\.pkl|version|data/\d+)")
# Any bytes may be called .bin; these are the names of Transformers, PEFT, diffusers, accelerate.
_BIN = re.compile(
    r"(?:.*/)?(?:(?:pytorch|adapter|diffusion_pytorch)_model|optimizer|scheduler|training_args|pytorch_lora_weights"
    r"|model-\d{5}-of-\d{5})(?:[-_][^/]*)?\.bin"
)
_KNOWN = {
    "data.pkl",
    "version",
    "byteorder",
    ".format_version",
    ".storage_alignment",
    ".data/serialization_id",
}
# A step is a tensor of one number; its bytes are kept to read it.
_SMALL_LIMIT = 4096
_ENDINGS = (".pt", ".pth", ".ckpt", ".pth.tar")
_SUFFIXED = meant_by(*_ENDINGS)


def _detect(tree: Listing, context: CheckContext) -> bool:
    # The directory is still there if the head was overwritten; the first member if it was cut.
    return any(map(_PICKLE.fullmatch, members(tree, context)))


def _is_script(name: str) -> bool:
    return name == "constants.pkl" or name.startswith("code/")


def _meant(tree: Listing, context: CheckContext) -> bool:
    is_bin = meant_by(".bin")(tree, context) and _BIN.fullmatch(tree.label)
    if not _SUFFIXED(tree, context) and not is_bin:
        return False
    # Not a zip file of another kind, such as a program of torch.export.
    names = members(tree, context)
    return not names or any(map(_OWN.fullmatch, names)) or len(names) == 1


def examine_archive(tree: Listing, context: CheckContext, inspect: Inspect | None = None) -> None:
    """
    Check a whole file of ``torch.save``.

    :param inspect: called with the inert root of its pickle, for formats that know more about it.
    """
    if context.level < 1:
        return
    with Source(tree, context) as source:
        archive = TorchArchive(source, context, tree.label, inspect=inspect)
        before = len(context.account.findings)
        archive.read_structure()
        names = [tensor.name for tensor in archive.contents.tensors]
        count_tensors(context, tree.label, names)
        # Of a file that is refused already no more need be read.
        if context.level >= 2 and not context.account.found_error_since(before):
            archive.read_everything()


@dataclass
class TorchArchive:
    """
    One torch zip while it is examined: a file, or a part of one.

    :param label: the file, for findings.
    :param name: what the file holds, where that is one object of many; goes before the names of its
        tensors.
    :param inspect: called with the inert root of the pickle.
    """

    source: Source
    context: CheckContext
    label: str
    name: str = ""
    inspect: Inspect | None = None
    members: dict[str, Member] = field(default_factory=dict)
    contents: Contents = field(default_factory=Contents)
    byteorder: ByteOrder = "little"

    def read_structure(self) -> None:
        """Level 1: directory, pickle, and that both agree."""
        if self.source.at(0, min(4, self.source.size)) != b"PK\3\4":
            raise FormatError(
                "zip-structure",
                "does not begin like a file of torch.save (PyTorch 1.6 or later); "
                "it was cut or overwritten",
            )
        self._read_members()
        self._read_byteorder()
        self._read_pickle()
        self._match_storages()
        claim_steps(self.contents, self.context, self.label)
        for name, member in self.members.items():
            self.enter(name, member.crc if self.checksums else None)

    def _read_members(self) -> None:
        listed = read_directory(self.source)
        folders = {member.name.partition("/")[0] for member in listed}
        if len(folders) != 1 or any("/" not in member.name for member in listed):
            raise FormatError(
                "torch-layout", f"{len(folders)} top folders; torch.save writes exactly one"
            )
        for member in listed:
            # The folder is called as the file was when it was saved.
            name = member.name.partition("/")[2]
            if not member.name.endswith("/"):
                self.members[name] = member
        self._check_names()
        # Without checksums PyTorch writes 0 for every member.
        if all(member.crc == 0 for member in listed if member.size):
            self.context.note_unproven(
                "zip-no-checksums", self.label, "saved without checksums (compute_crc32=False)"
            )

    def _check_names(self) -> None:
        if any(map(_is_script, self.members)):
            raise FormatError(
                "torch-script", "a TorchScript archive; it contains code. Save a state_dict instead"
            )
        if "data.pkl" not in self.members:
            raise FormatError(
                "torch-layout", "data.pkl is missing; this is a zip file, but not one of torch.save"
            )
        for name in self.members:
            if name not in _KNOWN and not name.startswith("data/"):
                raise FormatError(
                    "torch-unreferenced", f"member {shown(name)} is none that torch.save writes"
                )

    @property
    def checksums(self) -> bool:
        """Whether CRCs were written."""
        return any(member.crc for member in self.members.values())

    def _content(self, name: str, limit: int) -> bytes:
        """Content of one small member, unpacked and compared with its CRC."""
        member = self.members[name]
        if member.size > limit or member.packed > limit:
            raise FormatError(
                "too-large",
                f"member {shown(name)} of {member.size} bytes; at most {limit} are read",
            )
        data = self.source.at(member.begin, member.packed)
        if member.method != STORED:
            data = unpacked(member, data)
        if self.checksums and zlib.crc32(data) != member.crc:
            note_damaged(self.context, self.label, name)
        return data

    def _read_byteorder(self) -> None:
        if "byteorder" not in self.members:
            return
        order = self._content("byteorder", _SMALL_LIMIT)
        if order == b"big":
            self.byteorder = "big"
            self.context.note(
                "torch-byteorder",
                self.label,
                "written on a big-endian machine; if not, every number is garbage",
            )
        elif order != b"little":
            raise FormatError(
                "torch-layout", f"byteorder is {shown(order)}; 'little' or 'big' is allowed"
            )

    def _read_pickle(self) -> None:
        with noting_globals(self.label, self.context) as mentions:
            root = load_inert(self._content("data.pkl", PICKLE_SIZE_LIMIT), mentions)
            self.contents = read_contents(root, self.name)
            if self.inspect is not None:
                self.inspect(root)

    def _match_storages(self) -> None:
        prefix = "data/"
        left = {name for name in self.members if name.startswith(prefix)}
        for key, storage in self.contents.storages.items():
            name = prefix + key
            if name not in left:
                raise FormatError(
                    "torch-storage", f"member '{name}' of {storage.nbytes} bytes is missing"
                )
            left.remove(name)
            size = self.members[name].size
            if size != storage.nbytes:
                raise FormatError(
                    "torch-storage",
                    f"member '{name}' has {size} bytes, its tensors need {storage.nbytes}",
                )
        # Bytes that no tensor uses could hide anything.
        if left:
            raise FormatError(
                "torch-unreferenced", f"{len(left)} members under data/ belong to no tensor"
            )

    def read_everything(self) -> None:
        """Levels 2 and 3: every byte once; CRCs, and at level 3 the numbers."""
        passes = self.passes()
        self.source.scan([item.span for item in passes])
        self.close(passes)

    def passes(self) -> list[TorchMemberPass]:
        """Return what each member needs of the pass over the bytes, in the order of the file."""
        return [
            TorchMemberPass(self, name, member)
            for name, member in self.members.items()
            if member.packed
        ]

    def close(self, passes: list[TorchMemberPass]) -> None:
        """Record what was read."""
        for member_pass in passes:
            member_pass.finish()
        if self.context.level >= 3:
            kept = {item.name.removeprefix("data/"): item.kept for item in passes}
            claim_optimizer_steps(self.contents, kept, self.context, self.label, self.byteorder)

    def tensors_in(self, name: str) -> list[Tensor]:
        """Return the tensors of one member."""
        folder, _, key = name.partition("/")
        storage = self.contents.storages.get(key) if folder == "data" else None
        return storage.tensors if storage is not None else []

    def enter(self, name: str, crc: int | None, content: StorageContent | None = None) -> None:
        """Record the tensors of one member: first from the directory, then from their bytes."""
        # As Run.ledger_dtype marks it.
        order = ">" if self.byteorder == "big" else ""
        for tensor in self.tensors_in(name):
            if tensor.is_state:
                flags = content.flags(tensor) if content else ()
                entry = TensorEntry(tensor.dtype + order, tensor.shape, crc, *flags)
                self.context.account.enter(self.label, tensor.name, entry)


class TorchMemberPass:
    """Reads one member: keeps a small one, and tests tensors."""

    def __init__(self, archive: TorchArchive, name: str, member: Member) -> None:
        self.archive = archive
        self.name = name
        self.member = member
        self.kept = b""
        tensors = archive.tensors_in(name) if archive.context.level >= 3 else []
        self.content = StorageContent(tensors, archive.byteorder) if tensors else None
        self.read = MemberPass(member, self._feed)
        self.span = self.read.span

    def _feed(self, chunk: memoryview) -> None:
        if self.member.size <= _SMALL_LIMIT:
            self.kept += bytes(chunk)
        if self.content is not None:
            self.content.feed(chunk)

    def finish(self) -> None:
        """Compare the CRC, then judge the numbers; those of damaged bytes mean nothing."""
        context = self.archive.context
        label = self.archive.label
        intact = self.read.finish()
        if self.archive.checksums and not intact:
            names = ", ".join(tensor.name for tensor in self.archive.tensors_in(self.name)[:3])
            context.note(
                "zip-crc",
                label,
                f"member {shown(self.name)} ({names}) is damaged: its CRC32 does not match",
            )
        else:
            self.archive.enter(self.name, self.read.crc, self.content)
            if self.content is not None:
                self.content.note(context, label)


TORCH_ZIP = Format("torch-zip", _detect, examine_archive, _meant, weights=(*_ENDINGS, ".bin"))
