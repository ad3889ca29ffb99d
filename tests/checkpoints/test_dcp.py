"""
PyTorch's distributed checkpoints: what loaders accept silently, run as code, or cannot load at all.
"""

from __future__ import annotations

import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Verdict, check, select
from airflow_runai.checkpoints.checking.context import CheckContext
from airflow_runai.checkpoints.checking.request import CheckRequest
from airflow_runai.checkpoints.formats.dcp_metadata import Index, read_index
from airflow_runai.checkpoints.formats.dcp_tiles import check_tiles
from tests.checkpoints.distributed_samples import (
    GOOD,
    PIECES,
    WEIGHT,
    Announced,
    Piece,
    Save,
    mapping,
    object_piece,
    tensor_piece,
)
from tests.checkpoints.finding_codes import codes
from tests.checkpoints.samples import GOLDEN, tensor, text, torch_file, write

STEP_4 = GOLDEN / "dcp-step-4"
OBJECT, FIRST, SECOND = PIECES
STEP = "global_step"
STEP_TEXT = text(STEP)
Pieces = dict[tuple[int, ...], tuple[int, ...]]


def copied(tmp_path: Path) -> Path:
    return shutil.copytree(STEP_4, tmp_path / "step-4")


def flip(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("level", [0, 1, 2, 3])
def test_what_two_ranks_wrote_is_valid(level: int) -> None:
    report = check(STEP_4, level=level)
    assert (report.format, report.verdict, report.step, codes(report)) == (
        "torch-dcp",
        Verdict.VALID,
        4,
        [],
    )
    assert report.tensors == (8 if level else 0)
    assert (report.digest is not None) == (level >= 2)


def test_small_pieces_are_read_ahead_together_and_then_once(tmp_path: Path) -> None:
    names = [f"object{number}" for number in range(200)]
    save = Save({}, [Piece(name, None, object_piece(b"N")) for name in names], objects=names)
    folder = save.write(tmp_path / "step-4")
    told: list[int] = []
    report = check(folder, level=1, progress=told.append)
    assert (report.verdict, told[-1] <= report.bytes) == (Verdict.VALID, True)
    assert len(told) < 10
    assert check(folder, level=3, progress=told.append).bytes * 2 >= told[-1]


def test_the_sample_itself_is_good(tmp_path: Path) -> None:
    report = check(GOOD.write(tmp_path / "step-4"))
    assert (report.verdict, report.step, report.tensors, codes(report)) == (Verdict.VALID, 4, 1, [])


def test_every_piece_is_in_the_ledger(tmp_path: Path) -> None:
    ledger = check(GOOD.write(tmp_path / "step-4")).ledger
    assert ledger is not None
    entries = {
        place: (entry.shape, entry.crc32 is not None) for place, entry in ledger.tensors.items()
    }
    assert entries == {
        ("__0_0.distcp", "model.weight"): ((2, 3), True),
        ("__1_0.distcp", "model.weight[2, 0]"): ((2, 3), True),
    }


# -- lies of .metadata
# -------------------------------------------------------------------------------------------------
def announced(**changes: object) -> Save:
    return replace(GOOD, tensors={"model.weight": replace(WEIGHT, **changes)})  # type: ignore[arg-type] # by name


def pieces(*changed: Piece) -> Save:
    return replace(GOOD, pieces=changed)


LIES: dict[str, tuple[Save, str]] = {
    "a piece is missing": (announced(chunks={(0, 0): (2, 3)}), "dcp-tiles"),
    "pieces overlap": (announced(chunks={(0, 0): (2, 3), (1, 0): (2, 3)}), "dcp-tiles"),
    "a piece reaches out": (announced(chunks={(0, 0): (2, 3), (3, 0): (2, 3)}), "dcp-tiles"),
    "the tensor is larger": (announced(shape=(5, 3)), "dcp-tiles"),
    "another number of dimensions": (announced(shape=(12,)), "dcp-metadata"),
    "negative size": (announced(shape=(-4, -3)), "dcp-metadata"),
    "huge size": (announced(shape=(1 << 62, 1 << 62)), "dcp-tiles"),
    "another dtype": (announced(dtype="float64"), "dcp-item"),
    "dtype of another module": (announced(dtype="float32\nctorch\nnothing"), "pickle-dangerous"),
    "sparse": (announced(layout="torch.sparse_coo"), "dcp-metadata"),
    "a place without a piece": (replace(GOOD, pieces=(*PIECES, Piece("ghost", None, b""))), "dcp-metadata"),
    "a piece without a place": (pieces(OBJECT, FIRST), "dcp-metadata"),
    "an object without a place": (pieces(FIRST, SECOND), "dcp-metadata"),
    "the same piece twice": (pieces(OBJECT, FIRST, FIRST, SECOND), "dcp-metadata"),
    "two pieces at one place": (pieces(OBJECT, replace(FIRST, begin=0), SECOND), "dcp-extent"),
    "a piece beyond the end": (pieces(OBJECT, replace(FIRST, length=1 << 40), SECOND), "dcp-extent"),
    "a piece at a negative place": (pieces(replace(OBJECT, begin=-1), FIRST, SECOND), "dcp-metadata"),
    "a piece that is too short": (pieces(OBJECT, FIRST, replace(SECOND, length=len(SECOND.content) - 1)), "dcp-extent"),
    "an empty piece": (pieces(replace(OBJECT, length=0), FIRST, SECOND), "zip-structure"),
    "a path upwards": (pieces(OBJECT, FIRST, replace(SECOND, file="../x.distcp")), "dcp-metadata"),
    "an absolute path": (pieces(OBJECT, FIRST, replace(SECOND, file="/tmp/x.distcp")), "dcp-metadata"),
    "a path into a folder": (pieces(OBJECT, FIRST, replace(SECOND, file="a/x.distcp")), "dcp-metadata"),
    "itself as a file": (pieces(OBJECT, FIRST, replace(SECOND, file=".metadata")), "dcp-metadata"),
    "a name that is not its path": (replace(GOOD, paths={"model.weight": "w", "global_step": [STEP]}), "dcp-metadata"),
    "no planner data": (replace(GOOD, fields={"planner_data": b"N", "storage_data": b"N"}), "dcp-metadata"),
    "tensors are a list": (replace(GOOD, fields={"state_dict_metadata": b"]"}), "dcp-metadata"),
    "a tensor is None": (replace(GOOD, fields={"state_dict_metadata": mapping([(STEP_TEXT, b"N")])}), "dcp-metadata"),
    "a name is a list": (replace(GOOD, fields={"state_dict_metadata": mapping([(b")", b"N")])}), "dcp-metadata"),
}  # fmt: skip


@pytest.mark.parametrize("name", LIES)
def test_metadata_that_contradicts_itself_or_the_files_is_refused(
    tmp_path: Path, name: str
) -> None:
    save, code = LIES[name]
    folder = tmp_path / "step-4"
    folder.mkdir()
    for file, content in save.files().items():
        if "/" not in file and file != ".metadata":
            write(folder / file, content)
    write(folder / ".metadata", save.metadata())
    report = check(folder)
    assert code in codes(report)
    assert report.verdict in (Verdict.INVALID, Verdict.UNSAFE)


CONTENTS: dict[str, tuple[Piece, str, Verdict]] = {
    "another shape": (replace(SECOND, content=tensor_piece((3, 2))), "dcp-item", Verdict.INVALID),
    "no tensor": (replace(SECOND, content=object_piece(b"N")), "dcp-item", Verdict.INVALID),
    "a number is NaN": (
        replace(SECOND, content=tensor_piece((2, 3), float("nan"))),
        "non-finite",
        Verdict.POISONED,
    ),
    "no zip file": (replace(SECOND, content=bytes(400)), "zip-structure", Verdict.INVALID),
    "a view beyond its bytes": (
        replace(
            SECOND,
            content=torch_file(b"\x80\x02" + tensor("0", 6, (2, 3), (9, 1)) + b".", bytes(24)),
        ),
        "torch-view",
        Verdict.INVALID,
    ),
    "a hostile object": (
        replace(OBJECT, content=object_piece(b"cos\nsystem\n" + text("true") + b"\x85R")),
        "pickle-dangerous",
        Verdict.UNSAFE,
    ),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_a_piece_that_is_not_what_it_should_be_is_refused(tmp_path: Path, name: str) -> None:
    piece, code, verdict = CONTENTS[name]
    changed = [
        piece if (it.name, it.offsets) == (piece.name, piece.offsets) else it for it in PIECES
    ]
    report = check(pieces(*changed).write(tmp_path / "step-4"))
    assert (codes(report), report.verdict) == ([code], verdict)


def test_compressed_pieces_are_left_alone_and_said_to_be_unproven(tmp_path: Path) -> None:
    packed = replace(SECOND, content=b"(\xb5/\xfd" + bytes(60), compressed=True)
    report = check(pieces(OBJECT, FIRST, packed).write(tmp_path / "step-4"))
    assert (codes(report), report.verdict) == (["not-examined"], Verdict.UNVERIFIABLE)


def test_pieces_without_checksums_are_said_to_be_unproven_once(tmp_path: Path) -> None:
    members = ("a/data.pkl", "a/byteorder", "a/data/0", "a/version")
    plain = torch_file(
        b"\x80\x02" + tensor("0", 6, (2, 3), (3, 1)) + b".",
        bytes(24),
        crcs=dict.fromkeys(members, 0),
    )
    changed = pieces(
        OBJECT, replace(FIRST, content=plain), replace(SECOND, content=plain, file="__0_0.distcp")
    )
    report = check(changed.write(tmp_path / "step-4"))
    unproven = [code for code in codes(report) if code != "all-zero"]
    assert (unproven, report.verdict) == (["zip-no-checksums"], Verdict.UNVERIFIABLE)


def test_pieces_along_two_dimensions_are_compared_on_their_grid(tmp_path: Path) -> None:
    quarters: Pieces = {(row, column): (2, 3) for row in (0, 2) for column in (0, 3)}
    made = [Piece("w", place, tensor_piece((2, 3))) for place in quarters]
    good = Save({"w": Announced((4, 6), quarters)}, made, objects=())
    assert check(good.write(tmp_path / "good")).verdict is Verdict.VALID
    moved: Pieces = {(0, 0): (2, 3), (0, 3): (2, 3), (2, 0): (2, 3), (1, 3): (2, 3)}
    made = [Piece("w", place, tensor_piece((2, 3))) for place in moved]
    assert codes(
        check(Save({"w": Announced((4, 6), moved)}, made, objects=()).write(tmp_path / "bad"))
    ) == ["dcp-tiles"]


def test_ranks_that_each_wrote_a_metadata_file_are_read_as_one(tmp_path: Path) -> None:
    folder = tmp_path / "step-4"
    parts: dict[int, Pieces] = {0: {(0, 0): (2, 3)}, 1: {(2, 0): (2, 3)}}
    for rank, piece in ((0, FIRST), (1, SECOND)):
        save = Save({"model.weight": replace(WEIGHT, chunks=parts[rank])}, [piece], objects=())
        write_all(folder, save, f"__{rank}.metadata")
    assert check(folder).verdict is Verdict.VALID
    (folder / "__1.metadata").unlink()
    assert codes(check(folder)) == ["dcp-tiles"]


def write_all(folder: Path, save: Save, metadata: str) -> None:
    save.write(folder)
    (folder / ".metadata").rename(folder / metadata)


@pytest.mark.slow
def test_a_large_run_has_more_pieces_than_another_pickle_may_have_objects() -> None:
    count = 25_000
    chunks: Pieces = {(row,): (1,) for row in range(count)}
    save = Save(
        {"w": Announced((count,), chunks)},
        [Piece("w", place, b"x") for place in chunks],
        objects=(),
    )
    index = Index()
    read_index(save.metadata(), index, CheckContext(CheckRequest(1)), ".metadata")
    check_tiles(index)
    assert [len(index.items), len(index.tensors["w"].chunks)] == [count, count]


# -- damage to what real ranks wrote
# -----------------------------------------------------------------------------------
def older(folder: Path) -> None:
    """A second save into the same directory was killed after its first rank had written."""
    data = (folder / "__0_0.distcp").read_bytes()
    write(folder / "__0_0.distcp", data.replace(data[-700:-600], bytes(100)))


DAMAGES: dict[str, tuple[Callable[[Path], object], str, Verdict]] = {
    "no metadata": (lambda d: (d / ".metadata").unlink(), "file-missing", Verdict.INVALID),
    "metadata is being written": (
        lambda d: (d / ".metadata").rename(d / ".metadata.tmp"),
        "incomplete-marker",
        Verdict.IN_PROGRESS,
    ),
    "empty metadata": (lambda d: write(d / ".metadata", b""), "empty-file", Verdict.INVALID),
    "a rank's file is missing": (
        lambda d: (d / "__1_0.distcp").unlink(),
        "shard-missing",
        Verdict.INVALID,
    ),
    "a rank's file is short": (
        lambda d: write(d / "__1_0.distcp", (d / "__1_0.distcp").read_bytes()[:-1]),
        "dcp-extent",
        Verdict.INVALID,
    ),
    "a rank's file is empty": (
        lambda d: write(d / "__1_0.distcp", b""),
        "dcp-extent",
        Verdict.INVALID,
    ),
    "bytes were appended": (
        lambda d: write(d / "__1_0.distcp", (d / "__1_0.distcp").read_bytes() + b"\0"),
        "dcp-extent",
        Verdict.INVALID,
    ),
    "a page of zeros": (
        lambda d: write(
            d / "__0_0.distcp", (d / "__0_0.distcp").read_bytes()[:4096] + bytes(9462 - 4096)
        ),
        "zip-structure",
        Verdict.INVALID,
    ),
    "half of another save": (older, "zip-mismatch", Verdict.INVALID),
    "a hostile metadata file": (
        lambda d: write(d / ".metadata", b"\x80\x02cos\nsystem\n" + text("true") + b"\x85R."),
        "pickle-dangerous",
        Verdict.UNSAFE,
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_distributed_checkpoint_is_told(tmp_path: Path, name: str) -> None:
    damage, code, verdict = DAMAGES[name]
    folder = copied(tmp_path)
    damage(folder)
    report = check(folder)
    assert code in codes(report)
    assert report.verdict is verdict


def test_a_rank_without_data_leaves_an_empty_file_and_an_older_save_a_full_one(
    tmp_path: Path,
) -> None:
    folder = copied(tmp_path)
    write(folder / "__2_0.distcp", b"")
    assert codes(check(folder)) == []
    shutil.copy(folder / "__0_0.distcp", folder / "__2_0.distcp")
    report = check(folder)
    assert (codes(report), report.verdict) == (["shard-left-over"], Verdict.VALID)


@pytest.mark.slow
def test_a_flipped_bit_in_any_tensor_is_seen(tmp_path: Path) -> None:
    folder = copied(tmp_path)
    path = folder / "__0_0.distcp"
    data = path.read_bytes()
    payloads = [at for at in range(len(data)) if data.startswith(b"PK\7\x08", at)]
    for end in payloads:
        flip(path, end - 1)
        assert not check(folder, level=2).accepted(), end
        path.write_bytes(data)
    assert check(folder).verdict is Verdict.VALID


@pytest.mark.slow
def test_every_cut_is_refused(tmp_path: Path) -> None:
    folder, chance = copied(tmp_path), random.Random(5)
    for name in (".metadata", "__0_0.distcp"):
        data = (folder / name).read_bytes()
        boundaries = {at for at in range(len(data)) if data.startswith((b"PK\3\4", b"PK\6\6"), at)}
        for size in (
            boundaries | {0, 1, len(data) - 1} | {chance.randrange(len(data)) for _ in range(20)}
        ):
            write(folder / name, data[:size])
            assert not check(folder, level=1).accepted(accept_unverifiable=True), (name, size)
        write(folder / name, data)


@pytest.mark.slow
def test_a_flipped_bit_in_metadata_is_refused_or_in_what_no_loader_needs(tmp_path: Path) -> None:
    folder, chance = copied(tmp_path), random.Random(3)
    data = (folder / ".metadata").read_bytes()
    places = [chance.randrange(data.index(b"storage_meta") - 1) for _ in range(150)]
    accepted = []
    for at in places:
        flip(folder / ".metadata", at, chance.randrange(8))
        report = check(folder, level=2)
        assert "reader-defect" not in codes(report), at
        accepted += [at] if report.accepted() else []
        write(folder / ".metadata", data)
    # Hints where to look first, the length of a frame, a flag for gradients.
    assert len(accepted) < len(places) / 40


def test_ranks_whose_optimizers_stand_at_different_steps_are_told_apart(tmp_path: Path) -> None:
    def save(first: float, second: float) -> Save:
        steps = {f"optim.state.{name}.step": Announced((), {(): ()}) for name in "ab"}
        made = [
            Piece("optim.state.a.step", (), tensor_piece((), first)),
            Piece("optim.state.b.step", (), tensor_piece((), second), "__1_0.distcp"),
        ]
        return Save(steps, made, objects=())

    assert codes(check(save(4, 4).write(tmp_path / "same"))) == []
    report = check(save(4, 3).write(tmp_path / "other"))
    assert (codes(report), report.verdict, report.findings[0].path) == (
        ["ranks-disagree"],
        Verdict.INVALID,
        "__1_0.distcp",
    )


def test_the_other_serialization_is_read_but_proven_only_by_a_manifest(tmp_path: Path) -> None:
    report = check(GOLDEN / "dcp-safetensors")
    assert (report.format, codes(report), report.tensors) == (
        "torch-dcp",
        ["safetensors-no-checksum"],
        2,
    )
    folder = shutil.copytree(GOLDEN / "dcp-safetensors", tmp_path / "dcp")
    data = (folder / "__0_0.distcp").read_bytes()
    write(folder / "__0_0.distcp", data[:-4] + struct.pack("<f", float("nan")))
    assert check(folder).verdict is Verdict.POISONED
    write(folder / "__0_0.distcp", data[:-4])
    assert check(folder).verdict is Verdict.INVALID


def test_the_directory_is_one_candidate_and_an_unfinished_newer_one_is_passed_over(
    tmp_path: Path,
) -> None:
    for step in (4, 8):
        shutil.copytree(STEP_4, tmp_path / f"step-{step}")
    (tmp_path / "step-8" / ".metadata").unlink()
    selection = select(tmp_path)
    assert selection.chosen is not None
    assert (selection.chosen.step, [report.step for report in selection.rejected]) == (4, [8])
    alone = select(tmp_path / "step-4")
    assert alone.chosen is not None


# -- against PyTorch itself
# --------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_loads_what_is_accepted_and_does_not_see_the_flip_that_is_refused(
    tmp_path: Path,
) -> None:
    torch = pytest.importorskip("torch")
    import torch.distributed.checkpoint as dcp

    folder = copied(tmp_path)
    state = {"model": {"weight": torch.zeros(5, 3), "bias": torch.zeros(5)}}
    dcp.load(state, checkpoint_id=folder)
    before = state["model"]["weight"].clone()
    assert before.abs().sum() > 0
    path = folder / "__0_0.distcp"
    data = path.read_bytes()
    at = data.index(struct.pack("<f", float(before[0, 0])))
    flip(path, at, 6)
    dcp.load(state, checkpoint_id=folder)
    assert not torch.equal(before, state["model"]["weight"])
    assert check(folder, level=2).verdict is Verdict.INVALID


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_torch_reads_new_data_through_old_metadata_where_this_reader_refuses(
    tmp_path: Path,
) -> None:
    torch = pytest.importorskip("torch")
    import torch.distributed.checkpoint as dcp

    folder = tmp_path / "step-4"
    dcp.save({"w": torch.arange(4096.0)}, checkpoint_id=folder)
    old = (folder / "__0_0.distcp").read_bytes()
    dcp.save({"w": torch.arange(4096.0) + 1}, checkpoint_id=folder)
    new = (folder / "__0_0.distcp").read_bytes()
    assert len(old) == len(new)
    half = len(new) // 2
    write(folder / "__0_0.distcp", new[:half] + old[half:])
    mixed = {"w": torch.zeros(4096)}
    dcp.load(mixed, checkpoint_id=folder)
    assert 0 < int((mixed["w"] == torch.arange(4096.0)).sum()) < 4096
    assert check(folder, level=2).verdict is Verdict.INVALID
