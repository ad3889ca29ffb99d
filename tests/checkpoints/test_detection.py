"""What a file is, its bytes say; a name decides only where no bytes do, and what nobody knows is not bad."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load, save

from airflow_runai.checkpoints import Verdict, check, select
from airflow_runai.checkpoints.checking.findings import CODES, TRANSIENT
from airflow_runai.checkpoints.keeping.quarantine import QuarantineProblem, quarantine
from airflow_runai.checkpoints.keeping.retention import Retention, plan_retention
from tests.checkpoints.finding_codes import codes
from tests.checkpoints.samples import GOLDEN, safetensors_file, torch_file, write, zip_file

LONGEST = 128 * 1024
#: First bytes of a length that another format begins with, too.
LOOKALIKES = tuple(
    length
    for length in range(8, LONGEST + 1, 8)
    if length & 0xFF == 0x80 or length & 0xFFFF in (0x4B50, 0x8B1F)
)


def padded(length: int) -> bytes:
    """A good safetensors file whose header is of that many bytes: by its metadata, or by spaces where that is short."""
    header: dict[str, object] = {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
    plain = len(json.dumps(header))
    if length < plain:
        return struct.pack("<Q", length) + b"{}".ljust(length)
    room = length - len(json.dumps({"__metadata__": {"pad": ""}, **header}))
    header |= {"__metadata__": {"pad": "x" * room}} if room >= 0 else {}
    return (
        struct.pack("<Q", length)
        + json.dumps(header).encode().ljust(length)
        + struct.pack("<2f", 1, 2)
    )


def seen_as(
    quick_disk: Path, lengths: range | tuple[int, ...], name: str
) -> set[tuple[str | None, Verdict]]:
    path = quick_disk / name
    return {
        (report.format, report.verdict)
        for n in lengths
        if (report := check(write(path, padded(n))))
    }


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["model.safetensors", "adapter", "model.bin", "model.pt", "model.pkl"]
)
def test_a_header_that_begins_like_another_format_is_still_a_length(
    quick_disk: Path, name: str
) -> None:
    lengths = LOOKALIKES[::4] if name != "adapter" else LOOKALIKES
    assert 640 in LOOKALIKES
    assert 66176 in LOOKALIKES
    assert seen_as(quick_disk, lengths, name) == {("safetensors", Verdict.UNVERIFIABLE)}


@pytest.mark.slow
@pytest.mark.parametrize("every", [17, pytest.param(1, marks=pytest.mark.qualify)])
def test_every_length_of_a_header_is_accepted(quick_disk: Path, every: int) -> None:
    lengths = range(8, LONGEST + 1, 8 * every)
    assert seen_as(quick_disk, lengths, "model.safetensors") == {
        ("safetensors", Verdict.UNVERIFIABLE)
    }
    odd = range(9, 4096, 7 * every)
    assert seen_as(quick_disk, odd, "model") == {("safetensors", Verdict.UNVERIFIABLE)}


def test_the_library_accepts_the_same_files() -> None:
    for length in LOOKALIKES[::16]:
        assert list(load(padded(length))) == ["w"]


def test_an_adapter_of_640_bytes_does_not_take_its_directory_along(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN / "checkpoint-4", tmp_path / "checkpoint-4")
    write(folder / "model.safetensors", padded(66176))
    assert check(folder).verdict is Verdict.UNVERIFIABLE


# -- names and bytes
# ---------------------------------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["x.pt", "x.bin", "x.safetensors", "x.ckpt", "x.h5", "x.pkl", "x.onnx", "x.npz", "x"]
)
def test_bytes_win_over_a_name(tmp_path: Path, name: str) -> None:
    assert check(write(tmp_path / name, torch_file())).format == "torch-zip"
    assert check(write(tmp_path / name, save({"w": np.ones(2)}))).format == "safetensors"
    assert (
        check(write(tmp_path / name, pickle.dumps({"step": 7, "text": "x" * 900}))).format
        == "pickle"
    )
    assert check(write(tmp_path / name, (GOLDEN / "other/model.h5").read_bytes())).format == "hdf5"
    assert (
        check(write(tmp_path / name, (GOLDEN / "other/model.gguf").read_bytes())).format == "gguf"
    )
    assert check(write(tmp_path / name, (GOLDEN / "other/state.npz").read_bytes())).format == "npz"
    assert (
        check(write(tmp_path / name, (GOLDEN / "other/model.keras").read_bytes())).format == "keras"
    )
    assert (
        check(write(tmp_path / name, (GOLDEN / "other/model.onnx").read_bytes())).format == "onnx"
    )


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize(
    "value", [{}, {"a": [1, 2.5, None] * 200}, b"x" * 3000, 2**2000, "ä" * 700, (1,)]
)
def test_a_pickle_is_known_by_its_instructions(
    tmp_path: Path, protocol: int, value: object
) -> None:
    report = check(write(tmp_path / "state", pickle.dumps(value, protocol)))
    assert (report.format, report.verdict) == ("pickle", Verdict.UNVERIFIABLE)


def test_two_bytes_do_not_make_a_pickle(tmp_path: Path) -> None:
    for second in b"\2\3\4\5":
        report = check(write(tmp_path / "weights", bytes([0x80, second]) + bytes(range(256)) * 8))
        assert (report.verdict, codes(report)) == (Verdict.UNKNOWN, ["format-unknown"])


@pytest.mark.parametrize(
    "damage", [lambda d: bytes(64) + d[64:], lambda d: d[:-200], lambda d: b"x" * 600 + d[600:]]
)
def test_a_torch_file_that_lost_an_end_is_known_by_the_other(
    tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    whole = (GOLDEN / "state.pt").read_bytes()
    report = check(write(tmp_path / "weights.bin", damage(whole)))
    assert (report.format, report.verdict) == ("torch-zip", Verdict.INVALID)


# -- what nobody knows
# -------------------------------------------------------------------------------------------------
def stable_baselines() -> bytes:
    members = [
        ("data", b"{}"),
        ("policy.pth", torch_file()),
        ("_stable_baselines3_version", b"2.3.0"),
    ]
    return zip_file(members)


def exported() -> bytes:
    return zip_file(
        [("m/archive_format", b"pt2"), ("m/byteorder", b"little"), ("m/models/model.json", b"{}")]
    )


def one_array() -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.arange(8.0))
    return buffer.getvalue()


#: Whole files of formats that are not read here, as their libraries name them.
FOREIGN: dict[str, bytes] = {
    "checkpoint.msgpack": b"\x82\xa4step\x07\xa1w\xc4\x10" + struct.pack("<4f", 1, 2, 3, 4),
    "model.npy": one_array(),
    "model.pkl.gz": gzip.compress(pickle.dumps({"w": 1})),
    "model.pkl": gzip.compress(pickle.dumps({"w": 1})),
    "packed.joblib": zlib.compress(pickle.dumps({"w": [1] * 500})),
    "model.ubj": b"{L\x00\x00\x00\x00\x00\x00\x00\x07learner{",
    "model.txt": b"tree\nversion=v4\nnum_class=1\n",
    "model.tflite": b"\x1c\x00\x00\x00TFL3" + bytes(64),
    "sb3.zip": stable_baselines(),
    "model.pt2": exported(),
    "model.pt": exported(),
    "train.bin": struct.pack("<64H", *range(64)),
    "model.ckpt": gzip.compress(b"weights" * 50),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_no_format_knows_is_unknown_for_ever_and_says_what_was_considered(
    tmp_path: Path, name: str
) -> None:
    report = check(write(tmp_path / name, FOREIGN[name]))
    assert (report.verdict, codes(report), report.transient) == (
        Verdict.UNKNOWN,
        ["format-unknown"],
        False,
    )
    assert "safetensors" in report.findings[0].message
    assert "torch-zip" in report.findings[0].message


@pytest.mark.parametrize("name", FOREIGN)
def test_what_no_format_knows_is_neither_moved_nor_removed_nor_chosen(
    tmp_path: Path, name: str
) -> None:
    for step in (10, 20, 30):
        (tmp_path / f"step-{step}").mkdir()
        write(tmp_path / f"step-{step}" / name, FOREIGN[name])
    (tmp_path / "step-20" / name).unlink()
    write(tmp_path / "step-20" / "model.pt", torch_file())
    found = select(tmp_path)
    assert found.chosen is not None
    assert (found.chosen.step, [report.transient for report in found.rejected]) == (20, [False])
    with pytest.raises(QuarantineProblem, match="is unknown"):
        quarantine(tmp_path / "step-30", found.rejected[0])
    assert plan_retention(tmp_path, Retention(keep_last=1, min_age_seconds=0), now=2e9).remove == ()


def test_what_is_beyond_a_limit_is_kept_by_retention(tmp_path: Path) -> None:
    write(tmp_path / "step-1.safetensors", struct.pack("<Q", 20 << 20) + b"{}".ljust(20 << 20))
    write(tmp_path / "step-2.pt", torch_file())
    found = plan_retention(tmp_path, Retention(keep_last=1, min_age_seconds=0), now=2e9)
    assert (found.remove, found.keep["step-1.safetensors"]) == (
        (),
        "unknown: it is not known what it is",
    )


def test_a_part_that_nobody_knows_leaves_the_others_what_they_are(tmp_path: Path) -> None:
    write(tmp_path / "model.pt", torch_file())
    write(tmp_path / "train.bin", FOREIGN["train.bin"])
    (tmp_path / "elsewhere").mkdir()
    folder = shutil.copytree(tmp_path, tmp_path.parent / "step-7")
    (folder / "tokenizer").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    report = check(folder)
    assert (report.verdict, codes(report)) == (
        Verdict.UNVERIFIABLE,
        ["not-examined", "not-examined"],
    )


def test_unknown_for_now_and_unknown_for_ever_are_told_apart_by_their_codes(tmp_path: Path) -> None:
    unknown = {code for code, meaning in CODES.items() if meaning.verdict is Verdict.UNKNOWN}
    assert unknown > TRANSIENT
    assert {"format-unknown", "too-large", "too-many-entries"} <= unknown - TRANSIENT
    path = write(tmp_path / "x.pt", torch_file())
    path.chmod(0)
    try:
        report = check(path)
        assert report.verdict is Verdict.VALID or report.transient  # root may read what it likes
    finally:
        path.chmod(0o600)


# -- checkpoint-N
# ------------------------------------------------------------------------------------------------------
def own_loop(folder: Path, *names: str) -> Path:
    folder.mkdir()
    for name in names:
        write(folder / name, safetensors_file() if name.endswith(".safetensors") else torch_file())
    return folder


@pytest.mark.parametrize(
    "names",
    [
        ("model.safetensors",),
        ("adapter_model.safetensors",),
        ("model.pt", "optimizer.pt"),
        ("model.pt", "optimizer.pt", "scheduler.pt"),
        ("model.safetensors", "optimizer.pt"),
        ("pytorch_model.bin",),
    ],
)
def test_a_checkpoint_n_that_is_not_the_trainers_is_a_directory(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    report = check(own_loop(tmp_path / "checkpoint-7", *names))
    assert (report.format, report.accepted(accept_unverifiable=True), report.step) == (
        "directory",
        True,
        7,
    )
    assert "trainer-in-name-only" in codes(report)


@pytest.mark.parametrize(
    "sign", ["training_args.bin", "scheduler.pt", "rng_state.pth", "rng_state_0.pth"]
)
def test_one_that_has_another_sign_of_the_trainer_was_not_finished(
    tmp_path: Path, sign: str
) -> None:
    report = check(own_loop(tmp_path / "checkpoint-7", "model.safetensors", sign))
    assert (report.format, report.verdict) == ("huggingface-trainer", Verdict.INVALID)
    assert "file-missing" in codes(report)


def test_a_script_may_use_words_of_deepspeed_and_fsdp(tmp_path: Path) -> None:
    folder = own_loop(tmp_path / "step-7", "model_states.pt", "optim_states.pt")
    own_loop(folder / "optimizer_0", "state.pt")
    report = check(folder)
    assert (report.format, report.verdict) == ("directory", Verdict.VALID)


def test_a_zip_of_arrays_and_other_things_is_not_numpys(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "bundle", "w") as archive:
        archive.writestr("a.npy", one_array())
        archive.writestr("readme.txt", "x")
    assert codes(check(tmp_path / "bundle")) == ["format-unknown"]


def test_a_shard_that_was_zeroed_whole_is_still_a_shard(tmp_path: Path) -> None:
    for stem in ("pytorch_model", "model", "odd"):
        folder = tmp_path / stem
        folder.mkdir()
        names = [f"{stem}-0000{number}-of-00002.bin" for number in (1, 2)]
        write(folder / names[0], torch_file())
        write(folder / names[1], bytes(600))
        index = {"metadata": {}, "weight_map": {"weight": names[0], "other": names[1]}}
        (folder / f"{stem}.bin.index.json").write_text(json.dumps(index))
        assert check(folder).verdict is Verdict.INVALID


def test_what_a_part_says_of_its_name_does_not_unbind_the_directory(tmp_path: Path) -> None:
    folder = tmp_path / "step-9"
    folder.mkdir()
    shutil.copy(GOLDEN / "epoch=0-step=4.ckpt", folder / "epoch=0-step=4.ckpt")
    assert "step-disagrees" in codes(check(folder))
