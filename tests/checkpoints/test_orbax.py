"""Orbax, with and without OCDBT: what metadata promises is there, unpacks and has its size; torn it is refused."""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import Verdict, check
from airflow_runai.checkpoints.containers.zarr_documents import read_array
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import GOLDEN, write
from tests.checkpoints.test_directories import edit

pytest.importorskip("zstandard")
EVERYDAY = GOLDEN.parent / "everyday"
SAMPLES = {
    "ocdbt": GOLDEN / "other/orbax/7",
    "files": EVERYDAY / "orbax-files",
    "zarr3": EVERYDAY / "orbax-zarr3",
    "shards": EVERYDAY / "orbax-shards",
}
UNVERIFIABLE, INVALID = Verdict.UNVERIFIABLE, Verdict.INVALID
#: What Orbax does not read when it restores; of its own processes' manifests only the merged ones
#: count.
UNREAD = ("commit_success.txt", "_CHECKPOINT_METADATA")


@pytest.mark.parametrize("name", SAMPLES)
def test_what_orbax_writes_is_whole(name: str) -> None:
    report = check(SAMPLES[name])
    assert (report.format, report.verdict, code_set(report)) == (
        "orbax",
        UNVERIFIABLE,
        {"orbax-no-checksum"},
    )


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name not in UNREAD)


def is_needed(path: Path) -> bool:
    """Nodes that a process wrote before they were merged are read by nobody, unless values lie in the same file."""
    return path.parent.parent.name != "ocdbt.process_0" and "array_metadatas" not in path.parts


@pytest.mark.parametrize("name", SAMPLES)
def test_every_file_that_is_missing_is_missed(tmp_path: Path, name: str) -> None:
    for path in files(SAMPLES[name]):
        folder = shutil.copytree(SAMPLES[name], tmp_path / "7", dirs_exist_ok=True)
        (folder / path.relative_to(SAMPLES[name])).unlink()
        report = check(folder)
        assert report.verdict is INVALID or not is_needed(path), path
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_file_that_is_cut_is_refused(tmp_path: Path, name: str) -> None:
    random_places = random.Random(5)
    for path in files(SAMPLES[name]):
        folder = shutil.copytree(SAMPLES[name], tmp_path / "7", dirs_exist_ok=True)
        data = path.read_bytes()
        write(folder / path.relative_to(SAMPLES[name]), data[: random_places.randrange(len(data))])
        assert check(folder).verdict is INVALID or not is_needed(path), path
        shutil.rmtree(folder)


@pytest.mark.parametrize("name", SAMPLES)
def test_the_values_themselves_are_looked_at(tmp_path: Path, name: str) -> None:
    """A value file that is zeroed unpacks to nothing."""
    largest = max(
        files(SAMPLES[name]),
        key=lambda path: path.stat().st_size if b"(\xb5/\xfd" in path.read_bytes() else 0,
    )
    folder = shutil.copytree(SAMPLES[name], tmp_path / "7")
    write(folder / largest.relative_to(SAMPLES[name]), bytes(largest.stat().st_size))
    assert check(folder).verdict is INVALID


DOCUMENTS: dict[str, tuple[str, Callable[[dict[str, Any]], object]]] = {
    "an array the tree does not have": (
        "_METADATA",
        lambda told: told["tree_metadata"].clear() or told.pop("tree_metadata"),
    ),
    "a name that is not its keys": (
        "_METADATA",
        lambda told: told["tree_metadata"].update(
            {"('ghost',)": next(iter(told["tree_metadata"].values()))}
        ),
    ),
    "no switch": ("_METADATA", lambda told: told.update(use_ocdbt="yes")),
    "a sharding nobody knows": (
        "_sharding",
        lambda told: told.update({next(iter(told)): '{"sharding_type": "Odd"}'}),
    ),
    "no sharding": ("_sharding", lambda told: told.clear()),
    "no text": ("_strings.json", lambda told: told.clear()),
    "no shapes": ("array_metadatas/process_0", lambda told: told.clear()),
    "another shape": (
        "layer.kernel/.zarray",
        lambda told: told.update(shape=[13, 9], chunks=[13, 9]),
    ),
    "more pieces": ("layer.kernel/.zarray", lambda told: told.update(chunks=[6, 9])),
    "another codec": ("layer.kernel/.zarray", lambda told: told.update(compressor={"id": "odd"})),
}


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_that_contradict_the_values_are_refused(tmp_path: Path, name: str) -> None:
    file, change = DOCUMENTS[name]
    folder = shutil.copytree(SAMPLES["files"], tmp_path / "7")
    edit(folder / file, change)
    assert check(folder).verdict is INVALID
    assert not code_set(check(folder)) & {"reader-defect"}


def test_a_nan_in_a_weight_is_found_behind_zstd(tmp_path: Path) -> None:
    zstandard: Any = pytest.importorskip("zstandard")
    folder = shutil.copytree(SAMPLES["files"], tmp_path / "7")
    piece = folder / "layer.bias/0"
    numbers = bytearray(zstandard.ZstdDecompressor().decompress(piece.read_bytes()))
    numbers[:4] = b"\0\0\xc0\x7f"
    piece.write_bytes(zstandard.ZstdCompressor().compress(bytes(numbers)))
    assert (check(folder).verdict, code_set(check(folder)) - {"orbax-no-checksum"}) == (
        Verdict.POISONED,
        {"non-finite"},
    )


def test_a_frame_that_unpacks_without_end_costs_no_memory(tmp_path: Path) -> None:
    zstandard: Any = pytest.importorskip("zstandard")
    folder = shutil.copytree(SAMPLES["files"], tmp_path / "7")
    write(folder / "layer.bias/0", zstandard.ZstdCompressor().compress(bytes(1 << 28)))
    assert check(folder).verdict is INVALID


@pytest.mark.slow
@pytest.mark.parametrize("name", ["files", "zarr3", "shards"])
def test_whatever_orbax_cannot_load_is_refused(tmp_path: Path, name: str) -> None:
    """
    Random tears of any file: cut, zeroed, swapped, missing.

    A flipped bit in a text may still pass.
    """
    ocp: Any = pytest.importorskip("orbax.checkpoint")
    logging.getLogger("absl").setLevel(logging.CRITICAL)
    handler = ocp.PyTreeCheckpointHandler(use_ocdbt=name == "shards", use_zarr3=name != "files")
    chance = random.Random(name)
    failed = 0
    for _ in range(25):
        folder = shutil.copytree(SAMPLES[name], tmp_path / "7", dirs_exist_ok=True)
        torn = chance.choice(sorted(path for path in folder.rglob("*") if path.is_file()))
        data = torn.read_bytes()
        cut = chance.randrange(max(len(data), 1))
        kind = chance.choice(["cut", "zeroed", "swapped", "missing"])
        new = {
            "cut": data[:cut],
            "zeroed": data[:cut] + bytes(len(data) - cut),
            "swapped": data[cut:] + data[:cut],
        }
        torn.unlink() if kind == "missing" else write(torn, new[kind])
        try:
            ocp.Checkpointer(handler).restore(folder)
        except Exception:
            failed += 1
            assert not check(folder).accepted(accept_unverifiable=True), (kind, torn)
        shutil.rmtree(folder)
    assert failed > 5


def test_an_empty_array_has_no_pieces_however_large_its_other_size_is() -> None:
    description = {
        "zarr_format": 2,
        "shape": [0, 1 << 47],
        "chunks": [1, 1],
        "dtype": "<f4",
        "order": "C",
        "compressor": None,
        "filters": None,
        "fill_value": None,
    }
    assert read_array("huge", json.dumps(description).encode()).piece_keys() == []
