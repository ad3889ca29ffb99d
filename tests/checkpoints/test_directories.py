from __future__ import annotations

import json
import shutil
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Report, Verdict, check
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import (
    GOLDEN,
    manifest_text,
    publish,
    safetensors_file,
    torch_file,
    write,
)


def codes(report: Report) -> set[str]:
    return code_set(report, "safetensors-no-checksum", "pickle-foreign")


def edit(path: Path, change: Callable[[dict[str, object]], object]) -> None:
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(bytes(data))


def flip_largest(path: Path) -> None:
    """Flip a bit in the largest tensor of a torch file."""
    with zipfile.ZipFile(path) as archive:
        tensors = [item for item in archive.infolist() if "/data/" in item.filename]
        header = max(tensors, key=lambda item: item.file_size).header_offset
    name, extra = struct.unpack_from("<HH", path.read_bytes(), header + 26)
    flip(path, header + 30 + name + extra)


# -- Hugging Face
# ------------------------------------------------------------------------------------------------------
TRAINER: dict[str, tuple[Callable[[Path], object], set[str], Verdict]] = {
    "state missing": (
        lambda d: (d / "trainer_state.json").unlink(),
        {"file-missing"},
        Verdict.INVALID,
    ),
    "state cut": (
        lambda d: write(d / "trainer_state.json", b'{"global_'),
        {"json-malformed"},
        Verdict.INVALID,
    ),
    "state empty": (
        lambda d: write(d / "trainer_state.json", b""),
        {"empty-file"},
        Verdict.INVALID,
    ),
    "no step in state": (
        lambda d: write(d / "trainer_state.json", b"{}"),
        {"json-malformed"},
        Verdict.INVALID,
    ),
    "state of another step": (
        lambda d: edit(d / "trainer_state.json", lambda s: s.update(global_step=3)),
        {"step-disagrees"},
        Verdict.INVALID,
    ),
    "optimizer missing": (
        lambda d: (d / "optimizer.pt").unlink(),
        {"file-missing"},
        Verdict.INVALID,
    ),
    "scheduler missing": (
        lambda d: (d / "scheduler.pt").unlink(),
        {"file-missing"},
        Verdict.INVALID,
    ),
    "model missing": (
        lambda d: (d / "model.safetensors").unlink(),
        {"file-missing"},
        Verdict.INVALID,
    ),
    "random state missing": (
        lambda d: (d / "rng_state.pth").unlink(),
        {"random-state-missing"},
        Verdict.UNVERIFIABLE,
    ),
    "rank missing": (
        lambda d: (d / "rng_state.pth").rename(d / "rng_state_1.pth"),
        {"file-missing"},
        Verdict.INVALID,
    ),
    "flipped bit in the optimizer": (
        lambda d: flip_largest(d / "optimizer.pt"),
        {"zip-crc"},
        Verdict.INVALID,
    ),
    "being written": (
        lambda d: write(d / "checkpoint-is-incomplete.txt", b""),
        {"incomplete-marker"},
        Verdict.IN_PROGRESS,
    ),
    "moved to another step": (lambda d: None, {"step-disagrees"}, Verdict.INVALID),
}


@pytest.mark.parametrize("name", TRAINER)
def test_a_damaged_trainer_checkpoint_is_told(tmp_path: Path, name: str) -> None:
    damage, expected, verdict = TRAINER[name]
    step = 20 if name == "moved to another step" else 4
    folder = shutil.copytree(GOLDEN / "checkpoint-4", tmp_path / f"checkpoint-{step}")
    damage(folder)
    report = check(folder)
    assert (codes(report), report.verdict) == (expected, verdict)


def test_optimizer_and_scheduler_of_an_older_step_are_refused_but_may_lag_with_a_gradient_scaler(
    tmp_path: Path,
) -> None:
    folder = shutil.copytree(GOLDEN / "checkpoint-4", tmp_path / "checkpoint-6")
    edit(folder / "trainer_state.json", lambda state: state.update(global_step=6))
    assert codes(check(folder)) == {"step-disagrees"}
    shutil.copy(folder / "scheduler.pt", folder / "scaler.pt")
    assert codes(check(folder)) == {"step-differs"}


def test_an_optimizer_ahead_of_the_trainer_is_refused_even_with_a_scaler(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN / "checkpoint-4", tmp_path / "checkpoint-2")
    edit(folder / "trainer_state.json", lambda state: state.update(global_step=2))
    shutil.copy(folder / "scheduler.pt", folder / "scaler.pt")
    assert codes(check(folder)) == {"step-disagrees"}


def test_a_model_only_checkpoint_is_pointed_out(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN / "checkpoint-4", tmp_path / "checkpoint-4")
    for name in ("optimizer.pt", "scheduler.pt", "rng_state.pth"):
        (folder / name).unlink()
    assert codes(check(folder)) == {"model-only"}


def test_one_damaged_file_does_not_hide_another(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN / "checkpoint-4", tmp_path / "checkpoint-4")
    flip_largest(folder / "optimizer.pt")
    flip_largest(folder / "rng_state.pth")
    report = check(folder)
    assert {finding.path for finding in report.findings if finding.code == "zip-crc"} == {
        "optimizer.pt",
        "rng_state.pth",
    }


# -- sharded
# -----------------------------------------------------------------------------------------------------------
INDEX = "model.safetensors.index.json"
FIRST, SECOND = "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors"


def weight_map(index: dict[str, object]) -> dict[str, str]:
    found = index["weight_map"]
    assert isinstance(found, dict)
    return found


SHARDED: dict[str, tuple[Callable[[Path], object], str]] = {
    "shard missing": (lambda d: (d / FIRST).unlink(), "shard-missing"),
    "shard is a copy of another": (lambda d: shutil.copy(d / FIRST, d / SECOND), "index-mismatch"),
    "index names a ghost": (
        lambda d: edit(d / INDEX, lambda i: weight_map(i).update(ghost=FIRST)),
        "index-mismatch",
    ),
    "index lost a tensor": (
        lambda d: edit(d / INDEX, lambda i: weight_map(i).popitem()),
        "index-mismatch",
    ),
    "index points outside": (
        lambda d: edit(d / INDEX, lambda i: weight_map(i).update(x="../evil.safetensors")),
        "index-mismatch",
    ),
    "index cut": (lambda d: write(d / INDEX, (d / INDEX).read_bytes()[:99]), "json-malformed"),
    "index without a map": (lambda d: write(d / INDEX, b"{}"), "index-mismatch"),
    "shard cut": (lambda d: write(d / FIRST, (d / FIRST).read_bytes()[:-1]), "safetensors-header"),
}


@pytest.mark.parametrize("name", SHARDED)
def test_a_damaged_sharded_model_is_refused(tmp_path: Path, name: str) -> None:
    damage, expected = SHARDED[name]
    folder = shutil.copytree(GOLDEN / "sharded", tmp_path / "sharded")
    damage(folder)
    report = check(folder)
    assert (codes(report), report.verdict) == ({expected}, Verdict.INVALID)


def test_a_shard_of_an_earlier_sharding_is_pointed_out(tmp_path: Path) -> None:
    folder = shutil.copytree(GOLDEN / "sharded", tmp_path / "sharded")
    shutil.copy(folder / FIRST, folder / "model-00001-of-00002.safetensors")
    assert codes(check(folder)) == {"shard-left-over"}


# -- published
# ---------------------------------------------------------------------------------------------------------
def test_a_manifest_makes_safetensors_valid(tmp_path: Path) -> None:
    report = check(publish(tmp_path))
    assert (report.verdict, report.format, report.step, report.findings) == (
        Verdict.VALID,
        "published",
        42,
        (),
    )
    assert report.digest is not None
    assert report.digest.startswith("sha256:")


def test_the_digest_does_not_depend_on_when_it_was_published(tmp_path: Path) -> None:
    first, second = (
        publish(tmp_path / "a"),
        publish(tmp_path / "b", created_at=1800000000.0, previous_step=7),
    )
    assert check(first).digest == check(second).digest


def test_files_of_any_kind_and_in_subdirectories_are_proven(tmp_path: Path) -> None:
    files = {
        "model.safetensors": safetensors_file(),
        "notes/a.txt": b"hello",
        "data.zip": b"PK\3\4 not torch",
        "e": b"",
    }
    assert check(publish(tmp_path, content=files)).verdict is Verdict.VALID


def test_a_trainer_directory_can_be_published(tmp_path: Path) -> None:
    source = GOLDEN / "checkpoint-4"
    report = check(
        publish(tmp_path, 4, {path.name: path.read_bytes() for path in source.iterdir()})
    )
    assert (report.verdict, report.step) == (Verdict.VALID, 4)


def test_a_manifest_does_not_make_bad_content_good(tmp_path: Path) -> None:
    nan = publish(tmp_path, 1, {"nan.pt": (GOLDEN / "nan.pt").read_bytes()})
    evil = publish(tmp_path, 2, {"x.pt": torch_file(b"\x80\x02cos\nsystem\n)R.")})
    bare = publish(tmp_path, 3, {"x.dat": b"\x80\x02cos\nsystem\n)R."})
    assert [check(path).verdict for path in (nan, evil, bare)] == [
        Verdict.POISONED,
        Verdict.UNSAFE,
        Verdict.UNSAFE,
    ]


PUBLISHED: dict[str, tuple[Callable[[Path], object], str]] = {
    "file missing": (lambda d: (d / "model.safetensors").unlink(), "file-missing"),
    "file added": (lambda d: write(d / "extra.txt", b"x"), "manifest-mismatch"),
    "file grown": (lambda d: write(d / "b.txt", b"xxxxx"), "manifest-mismatch"),
    "file damaged": (lambda d: flip(d / "b.txt", 0), "manifest-mismatch"),
    "weights damaged": (lambda d: flip(d / "model.safetensors", -1), "manifest-mismatch"),
    "manifest edited": (
        lambda d: edit(d / "manifest.json", lambda m: m.update(step=43)),
        "manifest-malformed",
    ),
    "manifest cut": (
        lambda d: write(d / "manifest.json", b'{"schema": "runai-ch'),
        "json-malformed",
    ),
    "manifest deleted": (lambda d: (d / "manifest.json").unlink(), "manifest-missing"),
    "link": (
        lambda d: (d / "b.txt").symlink_to(shutil.move(d / "b.txt", d.parent / "b")),
        "link",
    ),
    "link to a directory": (lambda d: (d / "more").symlink_to(d.parent), "link"),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_published_directory_that_was_changed_is_not_accepted(tmp_path: Path, name: str) -> None:
    damage, expected = PUBLISHED[name]
    folder = publish(tmp_path, content={"model.safetensors": safetensors_file(), "b.txt": b"1234"})
    damage(folder)
    report = check(folder)
    assert expected in codes(report)
    assert not report.accepted()


def write_manifest(folder: Path, changes: dict[str, object]) -> Path:
    (folder / "manifest.json").write_text(
        manifest_text({"model.safetensors": safetensors_file()}, **changes)
    )
    return folder


ENTRY = {"size": 1, "crc32": "00000000"}


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "runai-checkpoint/2"},
        {"complete": False},
        {"step": -1},
        {"step": "42"},
        {"files": None},
        {"files": [5]},
        {"files": [{**ENTRY, "path": "../x"}]},
        {"files": [{**ENTRY, "path": "/etc/passwd"}]},
        {"files": [{**ENTRY, "path": "a/../b"}]},
        {"files": [{**ENTRY, "path": "a\\b"}]},
        {"files": [{**ENTRY, "path": "manifest.json"}]},
        {"files": [{**ENTRY, "path": "a"}, {**ENTRY, "path": "a"}]},
        {"files": [{"path": "a", "size": -1, "crc32": "00000000"}]},
        {"files": [{"path": "a", "size": 1, "crc32": "0000000G"}]},
        {"crc32": "00000000"},
    ],
)
def test_a_manifest_that_breaks_its_own_rules_is_refused(
    tmp_path: Path, changes: dict[str, object]
) -> None:
    report = check(write_manifest(publish(tmp_path), changes))
    assert (codes(report), report.verdict) == ({"manifest-malformed"}, Verdict.INVALID)


def test_a_manifest_of_another_step_than_the_name_is_refused(tmp_path: Path) -> None:
    folder = publish(tmp_path, 42).rename(tmp_path / "step-00000043")
    assert codes(check(folder)) == {"step-disagrees"}


# -- files that no format knows
# ----------------------------------------------------------------------------------------
def test_valid_is_not_said_of_bytes_that_nobody_looked_at(tmp_path: Path) -> None:
    write(tmp_path / "model.pt", torch_file())
    write(tmp_path / "README.md", "Läuft.".encode())
    assert check(tmp_path).verdict is Verdict.VALID
    write(tmp_path / "optimizer.msgpack", b"\x82\xa1w\xc4\x00\x00")
    report = check(tmp_path)
    assert (codes(report), report.verdict) == ({"not-examined"}, Verdict.UNVERIFIABLE)


def test_a_manifest_proves_files_of_no_known_format(tmp_path: Path) -> None:
    report = check(
        publish(
            tmp_path,
            content={"model.pt": torch_file(), "optimizer.msgpack": b"\x82\xa1w\xc4\x00\x00"},
        )
    )
    assert (codes(report) - {"step-differs"}, report.verdict) == (set(), Verdict.VALID)


@pytest.mark.parametrize("ending", ["tmp", "part", "incomplete"])
def test_a_part_that_has_not_its_final_name_yet_is_in_progress(tmp_path: Path, ending: str) -> None:
    write(tmp_path / "model.pt", torch_file())
    half = write(tmp_path / f"optimizer.pt.{ending}", torch_file()[:50])
    assert check(tmp_path).verdict is Verdict.IN_PROGRESS
    write(tmp_path / "optimizer.pt", torch_file())
    half.unlink()
    assert check(tmp_path).verdict is Verdict.VALID


@pytest.mark.parametrize("name", ["README.md", "config.json", "tokens.json", "pad.json"])
def test_text_beside_the_weights_is_no_reason_to_doubt_them(tmp_path: Path, name: str) -> None:
    write(tmp_path / "model.pt", torch_file())
    write(
        tmp_path / name,
        {"config.json": b'{"a": NaN}\n', "tokens.json": b"[1]\n", "pad.json": b"3"}.get(name, b"{"),
    )
    assert (codes(check(tmp_path)), check(tmp_path).verdict) == (set(), Verdict.VALID)


@pytest.mark.parametrize("torn", [b'{"a": 1, ', b"[1, 2", b'{"a": 1\0\0\0\0', bytes(9)])
def test_json_that_lost_its_end_is_refused(tmp_path: Path, torn: bytes) -> None:
    write(tmp_path / "model.pt", torch_file())
    write(tmp_path / "config.json", torn)
    assert codes(check(tmp_path)) == {"json-malformed"}


@pytest.mark.parametrize("name", ["random_states_0.pkl", "model.pt", "state.json"])
def test_an_empty_file_that_should_hold_something_is_refused(tmp_path: Path, name: str) -> None:
    write(tmp_path / "weights.pt", torch_file())
    write(tmp_path / name, b"")
    assert codes(check(tmp_path)) == {"empty-file"}
