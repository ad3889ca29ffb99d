"""Files of PyTorch from before 1.6, Lightning's among them: sizes to the byte, and nothing that proves a byte."""

from __future__ import annotations

import io
import pickle
import pickletools
import random
import struct
import tarfile
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Report, Verdict, check
from tests.checkpoints.finding_codes import codes
from tests.checkpoints.samples import GOLDEN, text, write

LEGACY = (GOLDEN / "legacy.pt").read_bytes()
MAGIC = 0x1950A86A20F9469CFC6C


def storage(key: str, count: int) -> bytes:
    name = b"ctorch\nFloatStorage\n"
    return (
        b"("
        + text("storage")
        + name
        + text(key)
        + text("cpu")
        + b"J"
        + struct.pack("<i", count)
        + b"NtQ"
    )


def tensor(key: str, count: int) -> bytes:
    rebuild = b"ctorch._utils\n_rebuild_tensor_v2\n("
    size = b"(J" + struct.pack("<i", count) + b"t"
    return (
        rebuild
        + storage(key, count)
        + b"K\x00"
        + size
        + b"(K\x01t"
        + b"\x89ccollections\nOrderedDict\n)RtR"
    )


def legacy_file(
    entries: dict[str, bytes] | None = None,
    *,
    magic: int = MAGIC,
    protocol: int = 1001,
    keys: object = ("7",),
    storages: bytes | None = None,
) -> bytes:
    entries = {"weight": tensor("7", 4), "global_step": b"K\x09"} if entries is None else entries
    root = b"\x80\x02}(" + b"".join(text(key) + value for key, value in entries.items()) + b"u."
    head = (
        pickle.dumps(magic, 2)
        + pickle.dumps(protocol, 2)
        + pickle.dumps({"little_endian": True}, 2)
    )
    data = struct.pack("<q4f", 4, 1.0, 2.0, -3.0, 4.5) if storages is None else storages
    return head + root + pickle.dumps(list(keys) if isinstance(keys, tuple) else keys, 2) + data


def looked_at(tmp_path: Path, data: bytes, *, name: str = "x.pt", level: int = 3) -> Report:
    return check(write(tmp_path / name, data), level=level)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_a_good_one_is_unverifiable_and_never_valid(level: int) -> None:
    report = check(GOLDEN / "legacy.pt", level=level)
    found = (report.format, report.verdict, report.step, report.tensors, codes(report))
    assert found == ("torch-legacy", Verdict.UNVERIFIABLE, 4, 28, ["legacy-no-checksum"])
    assert (report.digest is not None) == (level >= 2)


def test_it_holds_the_tensors_that_the_same_state_has_in_a_zip_file() -> None:
    old, new = check(GOLDEN / "legacy.pt").ledger, check(GOLDEN / "state.pt").ledger
    assert old is not None
    assert new is not None
    assert {place: entry.crc32 for place, entry in old.tensors.items()} == {
        place: entry.crc32 for place, entry in new.tensors.items()
    }


def test_the_sample_itself_is_good(tmp_path: Path) -> None:
    report = looked_at(tmp_path, legacy_file())
    assert (codes(report), report.step, report.tensors) == (["legacy-no-checksum"], 9, 1)


DAMAGES: dict[str, tuple[bytes, str]] = {
    "cut in the numbers": (legacy_file()[:-1], "legacy-layout"),
    "extended": (legacy_file() + b"\0", "legacy-layout"),
    "no storages": (legacy_file(storages=b""), "legacy-layout"),
    "zero tail": (legacy_file(storages=bytes(24)), "legacy-layout"),
    "another count": (legacy_file(storages=struct.pack("<q4f", 3, 1, 2, 3, 4)), "legacy-layout"),
    "negative count": (legacy_file(storages=struct.pack("<q4f", -1, 1, 2, 3, 4)), "legacy-layout"),
    "another protocol": (legacy_file(protocol=1002), "legacy-layout"),
    "unknown key": (legacy_file(keys=("8",)), "legacy-layout"),
    "key lost": (legacy_file(keys=(), storages=b""), "legacy-layout"),
    "key twice": (legacy_file(keys=("7", "7"), storages=bytes(48)), "legacy-layout"),
    "keys are a number": (legacy_file(keys=7), "legacy-layout"),
    "keys are numbers": (legacy_file(keys=(7,)), "legacy-layout"),
    "a view of another storage": (
        legacy_file(
            {"weight": tensor("7", 4).replace(b"NtQ", b"(" + text("8") + b"K\x00K\x04ttQ")}
        ),
        "torch-storage",
    ),
    "a billion elements": (legacy_file({"weight": tensor("7", 1_000_000_000)}), "legacy-layout"),
    "not a number": (
        legacy_file(storages=struct.pack("<q4f", 4, 1, 2, 3, float("nan"))),
        "non-finite",
    ),
    "hostile": (
        legacy_file({"weight": b"cos\nsystem\n" + text("true") + b"\x85R"}),
        "pickle-dangerous",
    ),
    "hostile keys": (
        LEGACY[:13] + b".\x80\x02cos\nsystem\n" + text("true") + b"\x85R.",
        "pickle-dangerous",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_one_is_refused(tmp_path: Path, name: str) -> None:
    data, code = DAMAGES[name]
    report = looked_at(tmp_path, data)
    assert code in codes(report)
    assert report.verdict not in (Verdict.VALID, Verdict.UNVERIFIABLE, Verdict.UNKNOWN)


def test_every_cut_is_refused(tmp_path: Path) -> None:
    ends = [
        at + 1 for at in range(len(LEGACY)) if LEGACY[at : at + 3] in (b".\x80\x02", b".\x06\0")
    ]
    chance = random.Random(1)
    for size in {0, 1, len(LEGACY) - 1, *ends, *(chance.randrange(len(LEGACY)) for _ in range(80))}:
        report = looked_at(tmp_path, LEGACY[:size], level=1)
        assert report.verdict is Verdict.INVALID, size


def test_a_file_of_other_pickle_protocols_is_recognised_by_its_magic_number(tmp_path: Path) -> None:
    data = legacy_file()
    for protocol in (3, 4, 5):
        head = pickle.dumps(MAGIC, protocol)
        assert pickletools.genops(head)
        report = looked_at(tmp_path, head + data[len(pickle.dumps(MAGIC, 2)) :])
        assert codes(report) == ["legacy-no-checksum"], protocol


def test_a_name_or_suffix_does_not_matter(tmp_path: Path) -> None:
    assert looked_at(tmp_path, LEGACY, name="weights").format == "torch-legacy"
    assert looked_at(tmp_path, pickle.dumps([1, 2], 4), name="x.bin").format == "pickle"


def test_the_tar_files_of_the_first_versions_are_recognised_and_refused(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in ("sys_info", "pickle", "storages", "tensors"):
            archive.addfile(tarfile.TarInfo(name))
    report = looked_at(tmp_path, buffer.getvalue())
    assert (codes(report), report.verdict) == (["format-too-old"], Verdict.INVALID)


def test_a_pickle_larger_than_the_first_read_is_read_on(tmp_path: Path) -> None:
    entries = {f"note{number}": text("x" * 4000) for number in range(100)} | {
        "weight": tensor("7", 4)
    }
    report = looked_at(tmp_path, legacy_file(entries))
    assert (codes(report), report.tensors) == (["legacy-no-checksum"], 1)


# -- Lightning
# ---------------------------------------------------------------------------------------------------------
def lightning_file(**changes: bytes) -> bytes:
    optimizer = (
        b"}("
        + text("state")
        + b"}K\x00}"
        + text("step")
        + b"K\x08ss"
        + text("param_groups")
        + b"]u"
    )
    entries = {
        "epoch": b"K\x01",
        "global_step": b"K\x08",
        "pytorch-lightning_version": text("2.6.6"),
        "state_dict": b"}" + text("weight") + tensor("7", 4) + b"s",
        "callbacks": b"}",
        "optimizer_states": b"]" + optimizer + b"a",
    }
    return legacy_file({key: value for key, value in (entries | changes).items() if value})


def path_in_callback(path: str) -> bytes:
    return b"}" + text("ModelCheckpoint{}") + b"}" + text("best_model_path") + text(path) + b"ss"


LIGHTNING: dict[str, tuple[str, bytes, list[str]]] = {
    "good": ("epoch=1-step=8.ckpt", lightning_file(), []),
    "last": ("last.ckpt", lightning_file(), []),
    "no optimizer": ("last.ckpt", lightning_file(optimizer_states=b""), ["model-only"]),
    "no state": ("last.ckpt", lightning_file(state_dict=b""), ["lightning-keys"]),
    "no step": ("last.ckpt", lightning_file(global_step=b"N"), ["lightning-keys"]),
    "another step in the name": ("epoch=1-step=9.ckpt", lightning_file(), ["step-disagrees"]),
    "from zero, as old ones count": (
        "epoch=1-step=7.ckpt",
        lightning_file(**{"pytorch-lightning_version": text("1.5.10")}),
        ["step-differs"],
    ),
    "an optimizer that is ahead": (
        "last.ckpt",
        lightning_file(global_step=b"K\x06"),
        ["step-disagrees"],
    ),
    "an optimizer that lags": ("last.ckpt", lightning_file(global_step=b"K\x09"), ["step-differs"]),
    "a best one before": (
        "last.ckpt",
        lightning_file(callbacks=path_in_callback("/a/epoch=0-step=4.ckpt")),
        [],
    ),
    "a best one of the future": (
        "last.ckpt",
        lightning_file(callbacks=path_in_callback("/a/epoch=9-step=90.ckpt")),
        ["step-differs"],
    ),
}


@pytest.mark.parametrize("name", LIGHTNING)
def test_what_lightning_writes_is_held_against_itself(tmp_path: Path, name: str) -> None:
    file, data, expected = LIGHTNING[name]
    report = looked_at(tmp_path, data, name=file)
    assert report.format == "lightning"
    assert [code for code in codes(report) if code != "legacy-no-checksum"] == expected


@pytest.mark.parametrize("name", ["epoch=0-step=4.ckpt", "lightning-legacy.ckpt"])
def test_lightning_is_recognised_by_its_keys_in_files_of_both_ages(
    tmp_path: Path, name: str
) -> None:
    report = looked_at(tmp_path, (GOLDEN / name).read_bytes(), name="weights.bin")
    assert (report.format, report.step) == ("lightning", 4)
    assert report.verdict is (Verdict.UNVERIFIABLE if "legacy" in name else Verdict.VALID)


def test_a_lightning_file_with_a_flipped_bit_is_still_called_lightning(tmp_path: Path) -> None:
    data = bytearray((GOLDEN / "epoch=0-step=4.ckpt").read_bytes())
    data[data.rindex(b"PK\7\x08") - 1] ^= 1
    report = looked_at(tmp_path, bytes(data), name="epoch=0-step=4.ckpt")
    assert (report.format, report.verdict) == ("lightning", Verdict.INVALID)


def test_last_that_links_to_nothing_is_reported(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").symlink_to(tmp_path / "epoch=1-step=8.ckpt")
    report = check(tmp_path / "last.ckpt")
    assert (codes(report), report.verdict) == (["missing"], Verdict.INVALID)


# -- against PyTorch itself
# --------------------------------------------------------------------------------------------
def test_torch_loads_a_flipped_bit_that_is_called_unverifiable_here(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = write(tmp_path / "x.pt", LEGACY[:-1] + bytes([LEGACY[-1] ^ 1]))
    assert (
        torch.load(path, weights_only=True).keys()
        == torch.load(GOLDEN / "legacy.pt", weights_only=True).keys()
    )
    assert check(path).verdict is not Verdict.VALID


def test_torch_reads_the_sample_as_it_was_meant(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    loaded = torch.load(write(tmp_path / "x.pt", legacy_file()), weights_only=True)
    assert (loaded["weight"].tolist(), loaded["global_step"]) == ([1.0, 2.0, -3.0, 4.5], 9)
