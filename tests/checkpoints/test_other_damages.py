"""Damages to formats that are not PyTorch's, rows 46 to 53 of the catalogue among them: cut, flipped, parts missing."""

from __future__ import annotations

import random
import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Report, Verdict, check
from airflow_runai.checkpoints.containers.zstd import is_there
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import GOLDEN, write, zip_file
from tests.checkpoints.test_golden import _unused_bytes
from tests.checkpoints.wire import (
    bundle_entry,
    bundle_index,
    gguf_entry,
    gguf_file,
    gguf_text,
    message,
    npy,
    npz_file,
    number,
    onnx_model,
    onnx_tensor,
    outside,
    raw,
    table,
)

OTHER = GOLDEN / "other"
INVALID, UNSAFE, UNVERIFIABLE, VALID = (
    Verdict.INVALID,
    Verdict.UNSAFE,
    Verdict.UNVERIFIABLE,
    Verdict.VALID,
)
NAN = struct.pack("<2f", 1.0, float("nan"))
TWO = struct.pack("<2f", 1.0, 2.0)


def copied(tmp_path: Path, name: str) -> Path:
    source = OTHER / name
    return Path(
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / source.name)
    )


def flipped(path: Path, at: int, bit: int = 0) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)


# -- cut
# ---------------------------------------------------------------------------------------------------------------
CUT: dict[str, str] = {
    "a TensorFlow index": "tensorflow/ckpt-12.index",
    "TensorFlow data": "tensorflow/ckpt-12.data-00000-of-00001",
    "the graph of a SavedModel": "saved_model/saved_model.pb",
    "the index of a SavedModel": "saved_model/variables/variables.index",
    "a Keras model": "model.keras",
    "HDF5": "plain.h5",
    "HDF5 of the latest version": "checked.h5",
    "an Orbax manifest": "orbax/7/default/manifest.ocdbt",
    "an Orbax tree node": "orbax/7/default/d/a423ec76449ac0b0ade111c936609f51",
    "stored arrays": "state.npz",
    "deflated arrays": "packed.npz",
    "GGUF": "model.gguf",
    "ONNX": "model.onnx",
    "data beside ONNX": "onnx-outside/weights.bin",
}


@pytest.mark.parametrize("name", CUT)
def test_every_cut_is_refused(tmp_path: Path, name: str) -> None:
    path = CUT[name]
    folder = copied(tmp_path, path.partition("/")[0])
    file = tmp_path / path
    checked = folder if folder.is_dir() else file
    checked = tmp_path / "orbax/7" if "orbax" in path else checked
    data = file.read_bytes()
    chance = random.Random(5)
    for size in {0, 1, 8, len(data) - 1} | {chance.randrange(len(data)) for _ in range(25)}:
        file.write_bytes(data[:size])
        report = check(checked, level=1)
        assert "reader-defect" not in code_set(report), report.findings
        # What is left of so short a node may as well be a value.
        if not (name == "an Orbax tree node" and 0 < size < 16):
            assert report.verdict is INVALID, (size, report.findings)


def test_a_cut_between_the_messages_of_a_model_is_refused(tmp_path: Path) -> None:
    data = (OTHER / "model.onnx").read_bytes()
    operators = len(message(8, message(1), number(2, 21)))
    for size in (2, len(data) - operators):
        assert check(write(tmp_path / "x.onnx", data[:size])).verdict is INVALID


# -- flipped
# -----------------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("name", ["ckpt-12.index", "ckpt-12.data-00000-of-00001"])
def test_every_flipped_bit_of_a_tensorflow_checkpoint_is_refused(tmp_path: Path, name: str) -> None:
    root = copied(tmp_path, "tensorflow")
    data = (root / name).read_bytes()
    chance = random.Random(3)
    for at in range(len(data)) if len(data) < 600 else chance.sample(range(len(data)), 200):
        flipped(root / name, at, chance.randrange(8))
        report = check(root / "ckpt-12.index")
        assert report.verdict is INVALID, at
        assert "reader-defect" not in code_set(report)
        (root / name).write_bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["state.npz", "packed.npz", "model.keras"])
def test_every_flipped_bit_of_a_zip_is_refused_or_in_a_byte_that_no_loader_uses(
    tmp_path: Path, name: str
) -> None:
    data = (OTHER / name).read_bytes()
    ignored = _unused_bytes(data)
    chance = random.Random(9)
    for at in chance.sample(range(len(data)), 150):
        path = write(tmp_path / name, data)
        flipped(path, at, chance.randrange(8))
        report = check(path, level=2)
        assert "reader-defect" not in code_set(report)
        assert not report.accepted() or at in ignored, at


@pytest.mark.slow
@pytest.mark.parametrize("name", ["model.gguf", "model.onnx", "orbax/7/default/ocdbt.process_0/d"])
def test_a_flip_where_nothing_is_summed_is_never_called_valid(tmp_path: Path, name: str) -> None:
    folder = copied(tmp_path, name.partition("/")[0])
    file = (
        max((tmp_path / name).iterdir(), key=lambda path: path.stat().st_size)
        if "orbax" in name
        else folder
    )
    checked = tmp_path / "orbax/7" if "orbax" in name else folder
    data = file.read_bytes()
    chance = random.Random(2)
    for at in chance.sample(range(len(data)), 100):
        flipped(file, at, chance.randrange(8))
        report = check(checked)
        assert "reader-defect" not in code_set(report), report.findings
        assert report.verdict is not VALID
        file.write_bytes(data)


def test_zeroed_values_of_orbax_do_not_unpack(tmp_path: Path) -> None:
    folder = copied(tmp_path, "orbax") / "7"
    values = max(
        (folder / "default/ocdbt.process_0/d").iterdir(), key=lambda path: path.stat().st_size
    )
    values.write_bytes(bytes(len(values.read_bytes())))
    assert check(folder).verdict is (INVALID if is_there() else UNVERIFIABLE)


@pytest.mark.parametrize("name", ["manifest.ocdbt", "d/a423ec76449ac0b0ade111c936609f51"])
def test_a_flipped_bit_in_the_structure_of_orbax_is_refused(tmp_path: Path, name: str) -> None:
    folder = copied(tmp_path, "orbax") / "7"
    for at in (5, 20, 60, -1):
        data = (folder / "default" / name).read_bytes()
        flipped(folder / "default" / name, at)
        assert check(folder).verdict is INVALID
        (folder / "default" / name).write_bytes(data)


# -- parts
# -------------------------------------------------------------------------------------------------------------
def without(path: str, *more: str) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        for name in (path, *more):
            shutil.rmtree(root / name) if (root / name).is_dir() else (root / name).unlink()

    return damage


def begun_only(root: Path) -> None:
    (root / "7/commit_success.txt").unlink()
    (root / "7/_CHECKPOINT_METADATA").write_text(
        '{"init_timestamp_nsecs": 1, "commit_timestamp_nsecs": null}'
    )


def rewritten(path: str, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def damage(root: Path) -> None:
        (root / path).write_bytes(change((root / path).read_bytes()))

    return damage


PARTS: dict[str, tuple[str, str, Callable[[Path], None], Verdict, str]] = {
    "data without an index": ("tensorflow", "", without("ckpt-12.index"), INVALID, "file-missing"),
    "an index without data": (
        *("tensorflow", "ckpt-12.index", without("ckpt-12.data-00000-of-00001")),
        *(INVALID, "shard-missing"),
    ),
    "the second of two shards": (
        *("two-shards", "", without("model.ckpt-500.data-00001-of-00002")),
        *(INVALID, "shard-missing"),
    ),
    "a state that names what is not there": (
        *(
            "tensorflow",
            "",
            rewritten("checkpoint", lambda data: data.replace(b"ckpt-12", b"ckpt-99")),
        ),
        *(INVALID, "tensorflow-state"),
    ),
    "an empty state": (
        "tensorflow",
        "",
        rewritten("checkpoint", lambda data: b""),
        INVALID,
        "tensorflow-state",
    ),
    "bytes behind the data": (
        *(
            "two-shards",
            "",
            rewritten("model.ckpt-500.data-00001-of-00002", lambda data: data + b"x"),
        ),
        *(INVALID, "tensorflow-data"),
    ),
    "a SavedModel without its graph": (
        "saved_model",
        "",
        without("saved_model.pb"),
        INVALID,
        "file-missing",
    ),
    "a SavedModel without variables": (
        "saved_model",
        "",
        without("variables"),
        INVALID,
        "saved-model",
    ),
    "a SavedModel without their index": (
        *("saved_model", "", without("variables/variables.index")),
        *(INVALID, "file-missing"),
    ),
    "Orbax without a manifest": (
        "orbax",
        "7",
        without("7/default/manifest.ocdbt"),
        INVALID,
        "orbax-layout",
    ),
    "Orbax without that of a process": (
        *("orbax", "7", without("7/default/ocdbt.process_0/manifest.ocdbt")),
        *(INVALID, "orbax-layout"),
    ),
    "Orbax without values": (
        *("orbax", "7", without("7/default/d", "7/default/ocdbt.process_0/d")),
        *(INVALID, "orbax-layout"),
    ),
    "Orbax without a time of commit": (
        *("orbax", "7", without("7/_CHECKPOINT_METADATA", "7/commit_success.txt")),
        *(UNVERIFIABLE, "orbax-no-checksum"),
    ),
    "Orbax that was not committed": (
        "orbax",
        "7",
        begun_only,
        Verdict.IN_PROGRESS,
        "orbax-unfinished",
    ),
    "ONNX without its data": ("onnx-outside", "", without("weights.bin"), INVALID, "onnx-external"),
}


@pytest.mark.parametrize("name", PARTS)
def test_a_part_that_is_missing_or_wrong_is_told(tmp_path: Path, name: str) -> None:
    golden, below, damage, verdict, code = PARTS[name]
    root = copied(tmp_path, golden)
    damage(root)
    report = check(root / below)
    assert (report.verdict, code in code_set(report)) == (verdict, True), report.findings


# -- built
# -------------------------------------------------------------------------------------------------------------
def bundle(tmp_path: Path, index: bytes, data: bytes) -> Report:
    write(tmp_path / "x.data-00000-of-00001", data)
    return check(write(tmp_path / "x.index", index))


GOOD_ENTRY = bundle_entry(TWO, [2])
INDICES: dict[str, tuple[bytes, str]] = {
    "no header": (table([(b"w", GOOD_ENTRY)]), "tensorflow-index"),
    "a shape of another size": (bundle_index({"w": bundle_entry(TWO, [3])}), "tensorflow-index"),
    "beyond the end": (bundle_index({"w": bundle_entry(TWO, [2], 4)}), "tensorflow-data"),
    "beyond 2^62": (bundle_index({"w": bundle_entry(TWO, [2], 1 << 62)}), "tensorflow-data"),
    "a size of 2^62": (
        bundle_index({"w": bundle_entry(TWO, [1 << 60], size=1 << 62)}),
        "tensorflow-data",
    ),
    "two on the same bytes": (bundle_index({"w": GOOD_ENTRY, "v": GOOD_ENTRY}), "tensorflow-data"),
    "a shard that is not there": (
        bundle_index({"w": bundle_entry(TWO, [2], shard=7)}),
        "tensorflow-index",
    ),
    "a million shards": (bundle_index({"w": GOOD_ENTRY}, 1_000_000), "tensorflow-index"),
    "another sum": (bundle_index({"w": bundle_entry(NAN, [2])}), "tensorflow-crc"),
    "compressed blocks": (
        table([(b"", number(1, 1)), (b"w", GOOD_ENTRY)], b"\1"),
        "tensorflow-index",
    ),
    "texts that do not fill it": (
        bundle_index({"w": bundle_entry(TWO, [2], dtype=7)}),
        "tensorflow-data",
    ),
    "2^60 texts": (
        bundle_index({"w": bundle_entry(TWO, [1 << 60], dtype=7)}),
        "tensorflow-unproven",
    ),
    "a variant": (bundle_index({"w": bundle_entry(TWO, [], dtype=21)}), "tensorflow-unproven"),
}


@pytest.mark.parametrize("name", INDICES)
def test_an_index_that_lies_is_refused(tmp_path: Path, name: str) -> None:
    index, code = INDICES[name]
    report = bundle(tmp_path, index, TWO)
    assert code in code_set(report), report.findings
    assert report.verdict is (UNVERIFIABLE if code == "tensorflow-unproven" else INVALID)


def test_not_a_number_poisons_every_format_that_tells_floats(tmp_path: Path) -> None:
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }"
    reports = [
        bundle(tmp_path, bundle_index({"w": bundle_entry(NAN, [2])}), NAN),
        check(write(tmp_path / "x.gguf", gguf_file([gguf_entry("w", [2], 0)], NAN))),
        check(write(tmp_path / "x.onnx", onnx_model(onnx_tensor("w", [2], 1, raw(NAN))))),
        check(write(tmp_path / "x.npz", npz_file({"w.npy": npy(header, NAN)}))),
    ]
    assert [report.verdict for report in reports] == [Verdict.POISONED] * 4


ARRAYS: dict[str, tuple[bytes, Verdict, str]] = {
    "objects": (
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"\x80\x04."),
        UNSAFE,
        "npz-object",
    ),
    "objects in a field": (
        *(
            npy(
                "{'descr': [('a', '<f4'), ('b', [('c', '|O')])], 'fortran_order': False, 'shape': (1,)}",
                bytes(12),
            ),
        ),
        *(UNSAFE, "npz-object"),
    ),
    "a shape of another size": (
        *(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,), }", TWO),),
        *(INVALID, "npz-layout"),
    ),
    "huge dimensions": (
        *(
            npy(
                "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4611686018427387904)}",
                TWO,
            ),
        ),
        *(INVALID, "npz-layout"),
    ),
    "code as a header": (npy("__import__('os').system('x')", TWO), INVALID, "npz-layout"),
    "deep nesting": (npy("(" * 4000 + ")" * 4000, TWO), INVALID, "npz-layout"),
    "signs without end": (npy("-" * 9000 + "1", TWO), INVALID, "npz-layout"),
    "a long header": (npy(" " * 20_000, TWO), INVALID, "npz-layout"),
    "no array": (b"hello", INVALID, "npz-layout"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_an_array_that_lies_is_refused(tmp_path: Path, name: str) -> None:
    member, verdict, code = ARRAYS[name]
    report = check(write(tmp_path / "x.npz", npz_file({"w.npy": member})))
    assert (report.verdict, code_set(report)) == (verdict, {code})


def test_a_deflated_array_that_ends_early_is_refused(tmp_path: Path) -> None:
    header = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (64,), }", bytes(256))
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    short = packed.compress(header[:-3]) + packed.flush()
    data = zip_file(
        [("w.npy", short)], sizes={"w.npy": len(header)}, crcs={"w.npy": zlib.crc32(header)}
    )
    for signature, place in ((b"PK\1\2", 10), (b"PK\3\4", 8)):
        at = data.rindex(signature) + place
        data = data[:at] + b"\x08" + data[at + 1 :]
    at = data.rindex(b"PK\3\4") + 22
    report = check(
        write(tmp_path / "x.npz", data[:at] + struct.pack("<I", len(header)) + data[at + 4 :])
    )
    assert (report.verdict, code_set(report)) == (INVALID, {"zip-crc"})


def test_structured_and_empty_arrays_are_accepted(tmp_path: Path) -> None:
    members = {
        "s.npy": npy(
            "{'descr': [('a', '<f4'), ('b', '<U2', (2,))], 'fortran_order': False, 'shape': (1,)}",
            bytes(20),
        ),
        "e.npy": npy("{'descr': '<M8[ns]', 'fortran_order': True, 'shape': (0, 3)}", b""),
    }
    assert check(write(tmp_path / "x.npz", npz_file(members))).verdict is VALID


def test_a_member_that_is_no_array_is_refused(tmp_path: Path) -> None:
    report = check(write(tmp_path / "x.npz", npz_file({"w.pkl": b"cos\nsystem\n(S'x'\ntR."})))
    assert report.verdict is INVALID


FILE = "model.gguf"
HEADERS: dict[str, bytes] = {
    "version 9": gguf_file([], b"", version=9),
    "2^62 tensors": gguf_file([gguf_entry("w", [2], 0)], TWO, tensors=1 << 62),
    "2^62 keys": gguf_file([gguf_entry("w", [2], 0)], TWO, keys_told=1 << 62),
    "an array of 2^62": gguf_file([], b"", [gguf_text("k") + struct.pack("<IIQ", 9, 0, 1 << 62)]),
    "a text of 2^62": gguf_file([], b"", [gguf_text("k") + struct.pack("<IQ", 8, 1 << 62)]),
    "arrays in arrays": gguf_file([], b"", [gguf_text("k") + struct.pack("<IIQ", 9, 9, 1) * 9]),
    "a value of no type": gguf_file([], b"", [gguf_text("k") + struct.pack("<I", 77)]),
    "alignment 3": gguf_file([], b"", [gguf_text("general.alignment") + struct.pack("<II", 4, 3)]),
    "two on the same bytes": gguf_file([gguf_entry("w", [2], 0), gguf_entry("v", [2], 0)], TWO),
    "a gap": gguf_file([gguf_entry("w", [2], 64)], bytes(64) + TWO),
    "2^62 dimensions": gguf_file([gguf_entry("w", [1 << 62, 1 << 62], 0)], TWO),
    "half a block": gguf_file([gguf_entry("w", [33], 0, 8)], bytes(34)),
    "cut by one byte": gguf_file([gguf_entry("w", [2], 0)], TWO[:-1]),
    "one page too many": gguf_file([gguf_entry("w", [2], 0)], TWO + bytes(4096)),
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_gguf_header_that_lies_is_refused(tmp_path: Path, name: str) -> None:
    report = check(write(tmp_path / FILE, HEADERS[name]))
    assert report.verdict in (INVALID, Verdict.UNKNOWN)
    assert code_set(report) <= {"gguf-header", "too-large"}


def test_a_gguf_of_a_type_that_is_not_known_is_not_examined(tmp_path: Path) -> None:
    report = check(write(tmp_path / FILE, gguf_file([gguf_entry("w", [2], 0, 250)], TWO)))
    assert (report.verdict, code_set(report)) == (UNVERIFIABLE, {"not-examined"})


MODELS: dict[str, tuple[bytes, Verdict, str]] = {
    "too few bytes": (onnx_model(onnx_tensor("w", [3], 1, raw(TWO))), INVALID, "onnx-structure"),
    "no bytes": (onnx_model(onnx_tensor("w", [3], 1)), INVALID, "onnx-structure"),
    "no type": (onnx_model(onnx_tensor("w", [2], 99, raw(TWO))), INVALID, "onnx-structure"),
    "100 dimensions": (
        onnx_model(onnx_tensor("w", [1] * 100, 1, raw(TWO))),
        INVALID,
        "onnx-structure",
    ),
    "2^62 dimensions": (
        onnx_model(onnx_tensor("w", [1 << 62, 1 << 62], 1, raw(TWO))),
        INVALID,
        "onnx-structure",
    ),
    "outside, missing": (
        onnx_model(onnx_tensor("w", [2], 1, outside(location="x.bin"))),
        INVALID,
        "onnx-external",
    ),
    "outside, absolute": (
        onnx_model(onnx_tensor("w", [2], 1, outside(location="/etc/x"))),
        UNSAFE,
        "onnx-path",
    ),
    "outside, above": (
        onnx_model(onnx_tensor("w", [2], 1, outside(location="../w.bin"))),
        UNSAFE,
        "onnx-path",
    ),
    "outside, nowhere": (
        onnx_model(onnx_tensor("w", [2], 1, outside(location=""))),
        UNSAFE,
        "onnx-path",
    ),
    "outside, too far": (
        *(onnx_model(onnx_tensor("w", [2], 1, outside(location="w.bin", offset=4, length=8))),),
        *(INVALID, "onnx-external"),
    ),
    "outside, 2^62": (
        *(onnx_model(onnx_tensor("w", [2], 1, outside(location="w.bin", offset=1 << 62))),),
        *(INVALID, "onnx-external"),
    ),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_model_that_lies_is_refused(tmp_path: Path, name: str) -> None:
    data, verdict, code = MODELS[name]
    write(tmp_path / "w.bin", TWO)
    report = check(write(tmp_path / "x.onnx", data))
    assert (report.verdict, code in code_set(report)) == (verdict, True), report.findings
