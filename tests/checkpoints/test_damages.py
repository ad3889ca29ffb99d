"""
The catalogue of damages, row by row: what standard loaders accept and this reader must not.

Numbers are those of the catalogue that the issue is built on. Rows of formats that have a test file
of their own (26, 27 legacy; 35, 36 DCP; 45 DeepSpeed's missing ranks; 46, 47 TensorFlow; 48-50
Orbax; 51-53 npz, HDF5, GGUF, ONNX) stand there. Each case damages small real files; where a row
needs a manifest or a ledger, it is told with and without one.
"""

from __future__ import annotations

import shutil
import struct
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import pytest

from airflow_runai.checkpoints import Verdict, check, select
from airflow_runai.training import preemptible
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import (
    GOLDEN,
    GOOD_DATA,
    GOOD_PICKLE,
    publish,
    safetensors_file,
    torch_file,
    write,
    zip_file,
)
from tests.checkpoints.test_directories import edit, flip_largest, weight_map
from tests.checkpoints.trainings import safetensors_state, sharded, torch_state, weights

INVALID, POISONED, UNSAFE = Verdict.INVALID, Verdict.POISONED, Verdict.UNSAFE
UNVERIFIABLE, VALID = Verdict.UNVERIFIABLE, Verdict.VALID
STATE, MODEL = (GOLDEN / "state.pt").read_bytes(), (GOLDEN / "model.safetensors").read_bytes()
SHARD_1, SHARD_2 = "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"
INDEX = "model.safetensors.index.json"


class Row(NamedTuple):
    """How to build the damaged checkpoint below a directory, and what must be said of it."""

    make: Callable[[Path], Path]
    verdict: Verdict
    code: str


def file(name: str, data: bytes) -> Callable[[Path], Path]:
    return lambda folder: write(folder / name, data)


def overwritten(old: bytes, new: bytes, part: float = 0.5) -> bytes:
    """What an overwrite in place leaves when it is interrupted."""
    cut = int(len(old) * part)
    return new[:cut] + old[cut:]


def content_of(path: Path, member: str) -> tuple[int, int]:
    """Offset and size of a member's content in a zip file."""
    with zipfile.ZipFile(path) as archive:
        info = next(item for item in archive.infolist() if item.filename.endswith(member))
    name, extra = struct.unpack_from("<HH", path.read_bytes(), info.header_offset + 26)
    return info.header_offset + 30 + name + extra, info.file_size


def patched(member: str, change: Callable[[bytes], bytes]) -> Callable[[Path], Path]:
    """The golden state with bytes of one member changed and everything else left as it was."""

    def make(folder: Path) -> Path:
        at, size = content_of(GOLDEN / "state.pt", member)
        changed = change(STATE[at : at + size])
        return write(folder / "state.pt", STATE[:at] + changed + STATE[at + size :])

    return make


def golden(name: str, damage: Callable[[Path], object]) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        copied = shutil.copytree(GOLDEN / name, folder / name)
        damage(copied)
        return copied

    return make


def trainer(damage: Callable[[Path], object]) -> Callable[[Path], Path]:
    return golden("checkpoint-4", damage)


def shards(damage: Callable[[Path], object]) -> Callable[[Path], Path]:
    return golden("sharded", damage)


def lie(**changes: object) -> bytes:
    header = {"weight": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]} | changes}
    return safetensors_file(header)


TWO = {"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}
MEMBERS = [
    ("a/data.pkl", GOOD_PICKLE),
    ("a/byteorder", b"little"),
    ("a/data/0", GOOD_DATA),
    ("a/version", b"3\n"),
]
SECOND = torch_state(weights(2), 2)

FROM_THE_BYTES: dict[str, Row] = {
    "1 empty file": Row(file("x.pt", b""), INVALID, "empty-file"),
    "2 cut by one byte": Row(file("x.pt", STATE[:-1]), INVALID, "zip-structure"),
    "2 cut in half": Row(file("x.pt", STATE[: len(STATE) // 2]), INVALID, "zip-structure"),
    "3 safetensors cut": Row(file("x.safetensors", MODEL[:-1]), INVALID, "safetensors-header"),
    "3 safetensors with trailing bytes": Row(
        file("x.safetensors", MODEL + b"x"), INVALID, "safetensors-header"
    ),
    "4 zero tail": Row(file("x.pt", STATE[:-4096] + bytes(4096)), INVALID, "zip-structure"),
    "6 zero page in a tensor": Row(
        patched("data/0", lambda raw: bytes(len(raw))), INVALID, "zip-crc"
    ),
    "7 hole instead of a tensor": Row(
        patched("data/2", lambda raw: bytes(len(raw))), INVALID, "zip-crc"
    ),
    "8 bit flip in a weight": Row(
        patched("data/0", lambda raw: bytes([raw[0] ^ 1]) + raw[1:]), INVALID, "zip-crc"
    ),
    "8 bit flip in the optimizer": Row(
        trainer(lambda d: flip_largest(d / "optimizer.pt")), INVALID, "zip-crc"
    ),
    "9 byte flip in a shape": Row(
        patched("data.pkl", lambda raw: raw.replace(b"K\x04K\x03\x86", b"K\x03K\x04\x86", 1)),
        INVALID,
        "zip-crc",
    ),
    "10 overwrite in place interrupted": Row(
        file("x.pt", overwritten(torch_state(weights(1), 1), SECOND)), INVALID, "zip-mismatch"
    ),
    "12 NaN": Row(file("x.pt", (GOLDEN / "nan.pt").read_bytes()), POISONED, "non-finite"),
    "12 infinite moment": Row(
        file("x.pt", torch_state({**weights(1), "state.0.exp_avg": [1.0, float("inf")]}, 1)),
        POISONED,
        "non-finite",
    ),
    "12 all zero": Row(
        file("x.pt", torch_state({**weights(1), "gone": [0.0] * 8}, 1)), VALID, "all-zero"
    ),
    "13 scheduler behind": Row(
        trainer(lambda d: edit(d / "trainer_state.json", lambda s: s.update(global_step=6))),
        INVALID,
        "step-disagrees",
    ),
    "14 member missing": Row(
        file("x.pt", zip_file([*MEMBERS[:2], MEMBERS[3]])), INVALID, "torch-storage"
    ),
    "15 member too short": Row(
        file("x.pt", torch_file(data=GOOD_DATA[:12])), INVALID, "torch-storage"
    ),
    "17 member twice": Row(
        file("x.pt", zip_file([*MEMBERS, ("a/data/0", bytes(16))])), INVALID, "zip-duplicate"
    ),
    "18 byteorder flipped in place": Row(
        patched("byteorder", lambda raw: b"big   "), INVALID, "zip-crc"
    ),
    "19 path traversal": Row(
        file("x.pt", zip_file([*MEMBERS, ("a/../../x", b"x")])), UNSAFE, "zip-name"
    ),
    "20 bomb as an extra member": Row(
        file("x.pt", zip_file([*MEMBERS, ("a/x", bytes(80 << 20))], deflated=True)),
        UNSAFE,
        "zip-bomb",
    ),
    "23 local and central name differ": Row(
        file("x.pt", zip_file(MEMBERS, local_names={"a/data/0": "a/data/9"})),
        INVALID,
        "zip-mismatch",
    ),
    "24 hostile pickle": Row(
        file("x.pt", torch_file(b"\x80\x02cposix\nsystem\n)R.")), UNSAFE, "pickle-dangerous"
    ),
    "25 no STOP": Row(file("x.pt", torch_file(GOOD_PICKLE[:-1])), INVALID, "pickle-malformed"),
    "25 huge text": Row(
        file("x.pt", torch_file(b"\x80\x02X\xff\xff\xff\x7f.")), INVALID, "pickle-malformed"
    ),
    "25 deep nesting": Row(
        file("x.pt", torch_file(b"\x80\x02" + b"(" * 200_000 + b"t" * 200_000 + b".")),
        UNSAFE,
        "pickle-limit",
    ),
    "25 memo index of 2^28": Row(
        file("x.pt", torch_file(b"\x80\x02}r\0\0\0\x10" + GOOD_PICKLE[3:])), UNSAFE, "pickle-limit"
    ),
    "28 header of 2^62": Row(
        file("x.safetensors", struct.pack("<Q", 1 << 62) + b"{}"), INVALID, "safetensors-header"
    ),
    "28 overlap": Row(
        file("x.safetensors", safetensors_file({**TWO, "b": TWO["a"]}, bytes(8))),
        INVALID,
        "safetensors-header",
    ),
    "28 shape and offsets differ": Row(
        file("x.safetensors", lie(shape=[2, 3])), INVALID, "safetensors-header"
    ),
    "28 negative size": Row(
        file("x.safetensors", lie(shape=[-2, -2])), INVALID, "safetensors-header"
    ),
    "28 unknown dtype": Row(file("x.safetensors", lie(dtype="F12")), INVALID, "safetensors-header"),
    "28 key twice": Row(
        file("x.safetensors", safetensors_file(b'{"a":1,"a":2}', b"")),
        INVALID,
        "safetensors-header",
    ),
    "29 NaN in safetensors": Row(
        file("x.safetensors", safetensors_state({"w": [1.0, float("nan")]})), POISONED, "non-finite"
    ),
    "30 shard missing": Row(shards(lambda d: (d / SHARD_1).unlink()), INVALID, "shard-missing"),
    "30 index missing": Row(shards(lambda d: (d / INDEX).unlink()), INVALID, "file-missing"),
    "30 index torn": Row(
        shards(lambda d: write(d / INDEX, b'{"weight_map": {')), INVALID, "json-malformed"
    ),
    "32 shard 2 is a copy of shard 1": Row(
        shards(lambda d: shutil.copy(d / SHARD_1, d / SHARD_2)), INVALID, "index-mismatch"
    ),
    "33 ghost in the index": Row(
        shards(lambda d: edit(d / INDEX, lambda i: weight_map(i).update(ghost=SHARD_1))),
        INVALID,
        "index-mismatch",
    ),
    "33 lost from the index": Row(
        shards(lambda d: edit(d / INDEX, lambda i: weight_map(i).popitem())),
        INVALID,
        "index-mismatch",
    ),
    "34 index points outside": Row(
        shards(lambda d: edit(d / INDEX, lambda i: weight_map(i).update(x="../x.bin"))),
        INVALID,
        "index-mismatch",
    ),
    "38 no trainer_state.json": Row(
        trainer(lambda d: (d / "trainer_state.json").unlink()), INVALID, "file-missing"
    ),
    "39 optimizer missing": Row(
        trainer(lambda d: (d / "optimizer.pt").unlink()), INVALID, "file-missing"
    ),
    "39 scheduler missing": Row(
        trainer(lambda d: (d / "scheduler.pt").unlink()), INVALID, "file-missing"
    ),
    "40 random state missing": Row(
        trainer(lambda d: (d / "rng_state.pth").unlink()), UNVERIFIABLE, "random-state-missing"
    ),
    "41 directory and state disagree": Row(
        lambda d: shutil.copytree(GOLDEN / "checkpoint-4", d / "checkpoint-20"),
        INVALID,
        "step-disagrees",
    ),
    "42 optimizer of an older step": Row(
        lambda d: trainer(
            lambda c: edit(c / "trainer_state.json", lambda s: s.update(global_step=9))
        )(d).rename(d / "checkpoint-9"),
        INVALID,
        "step-disagrees",
    ),
    "43 NaN in the model": Row(
        trainer(
            lambda d: write(d / "model.safetensors", safetensors_state({"w": [float("nan"), 1.0]}))
        ),
        POISONED,
        "non-finite",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FROM_THE_BYTES)
def test_the_bytes_alone_tell(tmp_path: Path, name: str) -> None:
    make, verdict, code = FROM_THE_BYTES[name]
    report = check(make(tmp_path))
    assert report.verdict is verdict, report.findings
    assert not code or code in code_set(report)


# -- rows that need a ledger
# -------------------------------------------------------------------------------------------
class Pair(NamedTuple):
    """A good checkpoint, the damaged one that follows it, and what is said without and with the ledger."""

    good: Callable[[Path], Path]
    bad: Callable[[Path], Path]
    alone: Verdict
    verdict: Verdict
    code: str


def torch(step: int, **changes: list[float]) -> Callable[[Path], Path]:
    return file(f"step-{step}.pt", torch_state({**weights(step), **changes}, step))


def plain(step: int, **changes: list[float]) -> Callable[[Path], Path]:
    return file(f"step-{step}.safetensors", safetensors_state({**weights(step), **changes}))


def without(name: str, step: int) -> dict[str, list[float]]:
    return {key: numbers for key, numbers in weights(step).items() if key != name}


ONE, TWO_STEPS = weights(1), weights(2)
WITH_A_LEDGER: dict[str, Pair] = {
    "7 a tensor became zero": Pair(torch(1), torch(2, first=[0.0] * 6), VALID, POISONED, "zeroed"),
    "11 safetensors overwritten in place": Pair(
        plain(2),
        file(
            "step-2.safetensors",
            overwritten(safetensors_state(TWO_STEPS), safetensors_state(ONE), 0.9),
        ),
        UNVERIFIABLE,
        INVALID,
        "changed-since-accepted",
    ),
    "13 optimizer key missing": Pair(
        torch(1, **{"state.0.exp_avg": [0.5, 0.25]}), torch(2), VALID, INVALID, "tensor-lost"
    ),
    "13 dtype halved": Pair(
        torch(1),
        file("step-2.pt", torch_state(TWO_STEPS, 2, kind="e")),
        VALID,
        INVALID,
        "dtype-drift",
    ),
    "16 two tensors swapped": Pair(
        torch(2),
        torch(2, first=TWO_STEPS["second"], second=TWO_STEPS["first"]),
        VALID,
        INVALID,
        "tensors-swapped",
    ),
    "18 byteorder wrong, and summed anew": Pair(
        torch(1),
        file("step-2.pt", torch_state(TWO_STEPS, 2, byteorder="big")),
        VALID,
        INVALID,
        "dtype-drift",
    ),
    "29 bit flip in safetensors": Pair(
        plain(1),
        plain(1, first=[ONE["first"][0] * 2, *ONE["first"][1:]]),
        UNVERIFIABLE,
        INVALID,
        "changed-since-accepted",
    ),
    "29 numbers relabelled": Pair(
        plain(1),
        file("step-2.safetensors", safetensors_state(TWO_STEPS).replace(b'"F32"', b'"I32"')),
        UNVERIFIABLE,
        INVALID,
        "dtype-drift",
    ),
    "43 tensor lost": Pair(
        plain(1),
        file("step-2.safetensors", safetensors_state(without("bias", 2))),
        UNVERIFIABLE,
        INVALID,
        "tensor-lost",
    ),
}


@pytest.mark.parametrize("name", WITH_A_LEDGER)
def test_the_ledger_of_the_last_accepted_one_tells(tmp_path: Path, name: str) -> None:
    good, bad, alone, verdict, code = WITH_A_LEDGER[name]
    (tmp_path / "good").mkdir()
    (tmp_path / "bad").mkdir()
    known = check(good(tmp_path / "good")).ledger
    damaged = bad(tmp_path / "bad")
    assert check(damaged).verdict is alone
    report = check(damaged, ledger=known)
    assert report.verdict is verdict, report.findings
    assert code in code_set(report)


@pytest.mark.parametrize("suffix", [".bin", ".safetensors"])
def test_31_a_shard_of_the_previous_step_is_refused_once_it_is_known_to_be_trained(
    tmp_path: Path, suffix: str
) -> None:
    first = check(sharded(tmp_path, 1, suffix=suffix))
    second = check(sharded(tmp_path, 2, suffix=suffix), ledger=first.ledger)
    third, shard = sharded(tmp_path, 3, suffix=suffix), f"model-00002-of-00002{suffix}"
    assert check(third, ledger=second.ledger).verdict is (
        VALID if suffix == ".bin" else UNVERIFIABLE
    )
    if suffix == ".bin":
        # The shard's own step would tell; here only its weights are old.
        old = {name: weights(2)[name] for name in ("second", "frozen")}
        write(third / shard, torch_state(old, 3))
    else:
        shutil.copy(tmp_path / "step-2" / shard, third / shard)
    assert check(third).accepted(accept_unverifiable=True)
    report = check(third, ledger=second.ledger)
    assert (report.verdict, {found.code for found in report.findings} & set(STALE)) == (
        INVALID,
        {"stale-file"},
    )


STALE = ("stale-file", "file-unchanged")


@pytest.mark.parametrize(
    ("name", "stale"), [("dcp-step-4", "__1_0.distcp"), ("deepspeed", "zero_pp_rank_1")]
)
def test_37_45_a_rank_that_is_a_step_behind_is_refused_once_it_is_known_to_be_trained(
    name: str, stale: str
) -> None:
    now = check(GOLDEN / name).ledger
    before = {
        (file, tensor): replace(entry, moved=True, crc32=(entry.crc32 or 0) ^ (stale not in file))
        for (file, tensor), entry in now.tensors.items()
    }
    report = check(GOLDEN / name, ledger=replace(now, step=3, tensors=before))
    assert report.verdict is INVALID
    assert [stale in found.path for found in report.findings if found.code == "stale-file"] == [
        True
    ]


# -- rows that need a manifest
# -----------------------------------------------------------------------------------------
UNSUMMED: dict[str, Callable[[bytes], bytes]] = {
    "5 zero tail": lambda data: data[:-8] + bytes(8),
    "11 overwrite in place interrupted": lambda data: overwritten(
        data, safetensors_state(weights(9)), 0.9
    ),
    "29 bit flip": lambda data: data[:-1] + bytes([data[-1] ^ 1]),
    "16 names swapped": lambda data: data.replace(b'first"', b'third"').replace(
        b'second"', b'first"  '
    ),
}


@pytest.mark.parametrize("name", UNSUMMED)
def test_nothing_proves_plain_safetensors_but_a_manifest_does(tmp_path: Path, name: str) -> None:
    whole = safetensors_state(weights(1))
    damaged = UNSUMMED[name](whole)
    assert damaged != whole
    bare = check(write(tmp_path / "step-1.safetensors", damaged))
    assert not bare.accepted()
    folder = publish(tmp_path, 1, {"model.safetensors": whole})
    assert check(folder).verdict is VALID
    write(folder / "model.safetensors", damaged)
    assert check(folder).verdict is INVALID


def test_44_a_pointer_to_nothing_falls_back_to_what_is_there(tmp_path: Path) -> None:
    publish(tmp_path, 8)
    (tmp_path / "latest").symlink_to(tmp_path / "step-00000009")
    (tmp_path / "step-00000009").mkdir()
    chosen = select(tmp_path).chosen
    assert chosen is not None
    assert chosen.step == 8


# -- benign controls
# ---------------------------------------------------------------------------------------------------
BENIGN: dict[str, tuple[Callable[[Path], Path], Verdict]] = {
    "21 zipped again, deflated": (file("step-4.pt", (GOLDEN / "deflated.pt").read_bytes()), VALID),
    "22 saved without checksums": (
        file("step-4.pt", (GOLDEN / "unsummed.pt").read_bytes()),
        UNVERIFIABLE,
    ),
    "mask full of -inf": (file("step-4.pt", (GOLDEN / "mask.pt").read_bytes()), VALID),
    "best score of infinity": (
        file("epoch=0-step=4.ckpt", (GOLDEN / "epoch=0-step=4.ckpt").read_bytes()),
        VALID,
    ),
    "bias of zeros": (
        file("step-1.pt", torch_state({**weights(1), "layer.bias": [0.0] * 8}, 1)),
        VALID,
    ),
    "mode 0600": (lambda d: private(write(d / "step-1.pt", torch_state(weights(1), 1))), VALID),
    "published by the training side": (lambda d: published(d), VALID),
}


def private(path: Path) -> Path:
    path.chmod(0o600)
    return path


def published(root: Path) -> Path:
    with preemptible.save_checkpoint(root, 1) as folder:
        (folder / "model.safetensors").write_bytes(MODEL.replace(b'"step"', b'"note"'))
    return root / "step-00000001"


@pytest.mark.parametrize("name", BENIGN)
def test_what_is_benign_is_never_refused(tmp_path: Path, name: str) -> None:
    make, verdict = BENIGN[name]
    made = make(tmp_path)
    report = check(made)
    assert report.verdict is verdict, report.findings
    again = check(made, ledger=report.ledger)
    assert (again.verdict, again.findings) == (report.verdict, report.findings)
