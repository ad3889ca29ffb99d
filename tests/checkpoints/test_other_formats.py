"""Formats that are not PyTorch's: what the real libraries wrote gets its verdict, and is told apart by content."""

from __future__ import annotations

import importlib.util
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import Verdict, candidates, check, select
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import GOLDEN, SAMPLES, publish

OTHER = GOLDEN / "other"
NAMES = ("tensorflow", "saved-model", "keras", "hdf5", "orbax", "npz", "gguf", "onnx")
VALID, UNVERIFIABLE, INVALID = Verdict.VALID, Verdict.UNVERIFIABLE, Verdict.INVALID
#: Path: (verdict, step, tensors, codes).
EXPECTED: dict[str, tuple[Verdict, int | None, int, set[str]]] = {
    "tensorflow": (VALID, None, 16, set()),
    "tensorflow/ckpt-12.index": (VALID, 12, 8, set()),
    "tensorflow/ckpt-3": (VALID, 3, 8, set()),
    "two-shards": (VALID, None, 2, set()),
    "two-shards/model.ckpt-500.index": (VALID, 500, 2, set()),
    "saved_model": (UNVERIFIABLE, None, 2, {"saved-model-no-checksum"}),
    "model.keras": (VALID, None, 14, set()),
    "checked.h5": (VALID, None, 2, set()),
    "old-checked.h5": (UNVERIFIABLE, None, 2, {"hdf5-no-checksum"}),
    "plain.h5": (UNVERIFIABLE, None, 3, {"hdf5-no-checksum"}),
    "model.h5": (UNVERIFIABLE, None, 14, {"hdf5-no-checksum"}),
    "model.weights.h5": (UNVERIFIABLE, None, 14, {"hdf5-no-checksum"}),
    "orbax/7": (UNVERIFIABLE, 7, 0, {"orbax-no-checksum"}),
    "state.npz": (VALID, None, 6, set()),
    "packed.npz": (VALID, None, 6, set()),
    "model.gguf": (UNVERIFIABLE, None, 4, {"gguf-no-checksum"}),
    "model.onnx": (UNVERIFIABLE, None, 3, {"onnx-no-checksum"}),
    "onnx-outside": (UNVERIFIABLE, None, 3, {"onnx-no-checksum"}),
    "onnx-outside/model.onnx": (UNVERIFIABLE, None, 3, {"onnx-no-checksum"}),
}
HAS_H5PY = importlib.util.find_spec("h5py") is not None
needs_h5py = pytest.mark.skipif(not HAS_H5PY, reason="h5py is not installed")
#: Like another one here, or not whole without its neighbours.
SKIPPED = ("old-checked.h5", "model.weights.h5", "onnx-outside/model.onnx")
SINGLE = {
    "model.keras": "keras",
    "checked.h5": "hdf5",
    "state.npz": "npz",
    "model.gguf": "gguf",
    "model.onnx": "onnx",
}


def good_samples() -> Iterator[tuple[str, Path]]:
    for form in NAMES:
        for name in SAMPLES[form]:
            yield form, GOLDEN / name


def content(path: Path) -> dict[str, bytes]:
    """The files of a sample, by the name that they have inside of a checkpoint directory."""
    if path.is_dir():
        return {
            file.relative_to(path).as_posix(): file.read_bytes()
            for file in path.rglob("*")
            if file.is_file()
        }
    return {
        file.name: file.read_bytes()
        for file in path.parent.glob(f"{path.stem}.*")
        if file.suffix != ".py"
    }


@pytest.mark.slow
@needs_h5py
@pytest.mark.parametrize("name", EXPECTED)
def test_what_real_libraries_wrote_gets_its_verdict(name: str) -> None:
    report = check(OTHER / name)
    found = (
        report.verdict,
        report.step,
        report.tensors,
        code_set(report),
    )
    assert found == EXPECTED[name]


@pytest.mark.parametrize(("form", "path"), list(good_samples()), ids=str)
def test_a_sample_is_recognised_as_its_format(form: str, path: Path) -> None:
    assert check(path, level=1).format == form


@pytest.mark.parametrize("name", SINGLE)
def test_a_file_is_recognised_by_content_under_any_name(tmp_path: Path, name: str) -> None:
    for other in ("weights", "data.bin", "x.npz"):
        if not (other.endswith(".npz") and SINGLE[name] == "keras"):
            shutil.copy(OTHER / name, tmp_path / other)
            expected = {
                SINGLE[name],
                "torch-zip" if other == "data.bin" else "",
                "npz" if other == "x.npz" else "",
            }
            assert check(tmp_path / other, level=1).format in expected
    assert check(tmp_path / "weights", level=1).format == SINGLE[name]


@pytest.mark.slow
@needs_h5py
@pytest.mark.parametrize("name", EXPECTED)
def test_a_shallower_look_never_finds_more(name: str) -> None:
    deep = {finding.code for finding in check(OTHER / name).findings}
    for level in (0, 1, 2):
        report = check(OTHER / name, level=level)
        assert code_set(report) <= deep
        assert (report.digest is not None) == (level >= 2)


@pytest.mark.slow
def test_without_h5py_only_the_length_of_hdf5_is_compared() -> None:
    program = (
        "import sys, json; sys.modules['h5py'] = None\n"
        "from pathlib import Path\nfrom airflow_runai.checkpoints import check\n"
        "reports = [check(Path(name)) for name in sys.argv[1:]]\n"
        "print(json.dumps([[str(r.verdict), r.digest, sorted({f.code for f in r.findings})] for r in reports]))"
    )
    names = [name for name in EXPECTED if name != "model.keras"]
    command = [sys.executable, "-c", program, *(str(OTHER / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for name, (verdict, digest, codes) in zip(names, json.loads(done.stdout), strict=True):
        if name.endswith(".h5"):
            assert (verdict, codes) == ("unverifiable", ["hdf5-structure-only"])
        else:
            expected = (EXPECTED[name][0].value, check(OTHER / name).digest, EXPECTED[name][3])
            assert (verdict, digest, set(codes)) == expected


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in EXPECTED if name not in SKIPPED])
def test_a_manifest_of_ours_proves_every_format(tmp_path: Path, name: str) -> None:
    files = content(OTHER / name)
    folder = publish(tmp_path, content=files)
    report = check(folder)
    assert (report.verdict, report.step) == (VALID, 42), report.findings
    largest = max(files, key=lambda file: len(files[file]))
    damaged = bytearray(files[largest])
    damaged[len(damaged) * 2 // 3] ^= 1
    (folder / largest).write_bytes(damaged)
    report = check(folder, level=2)
    assert report.verdict is INVALID
    assert "manifest-mismatch" in code_set(report)


def test_a_tensorflow_root_is_walked_by_its_indices() -> None:
    found = candidates(OTHER / "tensorflow")
    assert [(candidate.path.name, candidate.step) for candidate in found] == [
        ("ckpt-12.index", 12),
        ("ckpt-3.index", 3),
    ]


def test_a_damaged_prefix_is_passed_over_for_the_one_before(tmp_path: Path) -> None:
    root = shutil.copytree(OTHER / "tensorflow", tmp_path / "run")
    data = bytearray((root / "ckpt-12.data-00000-of-00001").read_bytes())
    data[100] ^= 4
    (root / "ckpt-12.data-00000-of-00001").write_bytes(data)
    selection = select(root)
    assert selection.chosen is not None
    assert (selection.chosen.step, [report.verdict for report in selection.rejected]) == (
        3,
        [INVALID],
    )


def test_steps_of_orbax_are_directories_of_digits(tmp_path: Path) -> None:
    root = shutil.copytree(OTHER / "orbax", tmp_path / "run")
    shutil.copytree(root / "7", root / "8.orbax-checkpoint-tmp-3")
    (root / "12").mkdir()
    selection = select(root, accept_unverifiable=True)
    assert selection.chosen is not None
    assert (selection.chosen.step, [report.step for report in selection.rejected]) == (7, [12])


def test_names_of_unfinished_saves_are_no_candidates(tmp_path: Path) -> None:
    shutil.copytree(OTHER / "tensorflow", tmp_path, dirs_exist_ok=True)
    (tmp_path / "ckpt-13_temp").mkdir()
    (tmp_path / "14.orbax-checkpoint-tmp-1700").mkdir()
    assert max(candidate.step or 0 for candidate in candidates(tmp_path)) == 12


def test_numbers_of_a_script_are_no_candidate_unless_named_after_a_step(tmp_path: Path) -> None:
    for name in ("features.npz", "step-5.npz"):
        shutil.copy(OTHER / "state.npz", tmp_path / name)
    assert [candidate.path.name for candidate in candidates(tmp_path)] == ["step-5.npz"]


def test_the_ledger_holds_the_tensors_of_every_format_that_names_them() -> None:
    for name, (dtype, shape) in {
        "tensorflow/ckpt-12.index": ("bfloat16", (4, 3)),
        "state.npz": ("<f2", (4,)),
        "model.gguf": ("Q8_0", (64, 4)),
        "model.onnx": ("float", (4, 3)),
        "onnx-outside": ("float", (4, 3)),
        **({"checked.h5": ("<f4", (20, 10)), "model.keras": ("<f4", (3, 4))} if HAS_H5PY else {}),
    }.items():
        ledger = check(OTHER / name).ledger
        assert ledger is not None
        found = [
            entry
            for entry in ledger.tensors.values()
            if (entry.dtype, entry.shape) == (dtype, shape)
        ]
        assert found, name
        assert all(entry.crc32 is not None and entry.zero is False for entry in found)


def test_the_libraries_that_made_the_files_are_recorded() -> None:
    made_by = dict(line.split() for line in (OTHER / "VERSIONS").read_text().splitlines())
    assert {"tensorflow_cpu", "keras", "orbax-checkpoint", "h5py", "numpy", "onnx", "gguf"} <= set(
        made_by
    )
    assert sum(path.stat().st_size for path in OTHER.rglob("*") if path.is_file()) < 160_000


@pytest.fixture
def bucket() -> Iterator[Any]:
    """All samples on an object store, which has no rename and no local files."""
    io = pytest.importorskip("airflow.sdk.io")
    fsspec = pytest.importorskip("fsspec")
    store = fsspec.filesystem("memory")
    io.attach("memory", conn_id="others", fs=store)
    for path in OTHER.rglob("*"):
        if path.is_file():
            store.pipe(f"/others/{path.relative_to(OTHER).as_posix()}", path.read_bytes())
    yield pytest.importorskip("airflow.sdk").ObjectStoragePath("memory://others@others")
    store.rm("/others", recursive=True)


@pytest.mark.parametrize("name", EXPECTED)
def test_an_object_store_gets_the_same_verdicts_but_for_hdf5(bucket: Any, name: str) -> None:
    report = check(bucket / name)
    expected = UNVERIFIABLE if name.endswith(".h5") else EXPECTED[name][0]
    assert (report.verdict, report.step) == (expected, EXPECTED[name][1]), report.findings


def test_an_object_store_that_holds_no_commit_file_of_orbax_is_in_progress(bucket: Any) -> None:
    bucket.fs.rm("/others/orbax/7/commit_success.txt")
    assert check(bucket / "orbax/7").verdict is Verdict.IN_PROGRESS
