"""What our adapters wrote under the real libraries, kept; every reader is asked in every run."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Verdict, check, select
from airflow_runai.training.preemptible import CheckpointVerificationError, newest_valid, verify

GOLDEN = Path(__file__).parent / "golden"
WORLD = {"huggingface": 1, "huggingface_ranks": 2, "lightning": 1, "torch_ranks": 2}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def remove(path: Path) -> None:
    path.unlink()


def add(path: Path) -> None:
    path.with_name("added.json").write_text("{}")


@pytest.mark.parametrize("name", WORLD)
def test_every_reader_accepts_what_the_adapters_wrote(name: str) -> None:
    found, chosen = newest_valid(GOLDEN / name), select(GOLDEN / name).chosen
    assert found is not None
    assert chosen is not None
    assert chosen.verdict is Verdict.VALID
    assert (chosen.format, chosen.path, chosen.step) == ("published", str(found.path), found.step)
    assert chosen.tensors > 0
    assert f'"world_size": {WORLD[name]},' in (found.path / "manifest.json").read_text()


@pytest.mark.parametrize("damage", [cut, flip, remove, add])
@pytest.mark.parametrize("name", WORLD)
def test_every_reader_refuses_damage_in_any_file(
    tmp_path: Path, name: str, damage: Callable[[Path], None]
) -> None:
    (source,) = (GOLDEN / name).iterdir()
    for file in (path.name for path in source.iterdir()):
        copy = shutil.copytree(source, tmp_path / file / source.name)
        damage(copy / file)
        with pytest.raises(CheckpointVerificationError):
            verify(copy)
        # Without one it is no published checkpoint at all.
        if file != "manifest.json" or damage is not remove:
            assert check(copy).verdict not in (Verdict.VALID, Verdict.UNVERIFIABLE), file


def test_the_libraries_that_made_the_files_are_recorded() -> None:
    made_by = dict(line.split() for line in (GOLDEN / "VERSIONS").read_text().splitlines())
    assert {"python", "torch", "transformers", "accelerate", "lightning"} <= set(made_by)
    assert sum(path.stat().st_size for path in GOLDEN.rglob("*")) < 250_000
