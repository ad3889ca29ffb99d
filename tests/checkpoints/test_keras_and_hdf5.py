"""Keras and HDF5: code in a configuration, links into other files, checksums, and the process that reads them."""

from __future__ import annotations

import importlib.util
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Policy, Verdict, check
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.test_other_damages import OTHER, copied, flipped

INVALID, UNSAFE, UNVERIFIABLE, VALID = (
    Verdict.INVALID,
    Verdict.UNSAFE,
    Verdict.UNVERIFIABLE,
    Verdict.VALID,
)
needs_h5py = pytest.mark.skipif(
    importlib.util.find_spec("h5py") is None, reason="h5py is not installed"
)


# -- Keras
# -------------------------------------------------------------------------------------------------------------
def keras_file(path: Path, change: Callable[[str], str], *, drop: str = "", more: str = "") -> Path:
    """The golden model with another configuration."""
    with zipfile.ZipFile(OTHER / "model.keras") as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            if name != drop:
                data = old.read(name)
                new.writestr(name, change(data.decode()) if name == "config.json" else data)
        if more:
            new.writestr(more, b"x")
    return path


def layer(**item: object) -> Callable[[str], str]:
    return lambda text: json.dumps({**json.loads(text), "more": [item]})


CONFIGS: dict[str, tuple[Callable[[str], str], Verdict, str]] = {
    "a lambda": (
        layer(module="keras.layers", class_name="Lambda", config={}),
        UNSAFE,
        "keras-code",
    ),
    "its code": (layer(class_name="__lambda__", config={"code": "4wEAAAA="}), UNSAFE, "keras-code"),
    "a system call": (
        layer(module="os", class_name="function", config="system"),
        UNSAFE,
        "keras-code",
    ),
    "eval": (layer(module="builtins", class_name="function", config="eval"), UNSAFE, "keras-code"),
    "a function that fetches": (
        *(layer(module="keras.utils", class_name="function", config="get_file"), UNSAFE),
        "keras-code",
    ),
    "the safety catch": (
        *(
            layer(
                module="keras.config", class_name="function", config="enable_unsafe_deserialization"
            ),
            UNSAFE,
        ),
        "keras-code",
    ),
    "a class of the user's": (
        layer(module="my.layers", class_name="Mine", config={}),
        VALID,
        "keras-foreign",
    ),
    "no JSON": (lambda text: text[:-5], INVALID, "keras-layout"),
    "deep nesting": (
        lambda text: '{"a":' + "[" * 100_000 + "]" * 100_000 + "}",
        INVALID,
        "keras-layout",
    ),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_keras_configuration_would_run_is_told(tmp_path: Path, name: str) -> None:
    change, verdict, code = CONFIGS[name]
    report = check(keras_file(tmp_path / "x.keras", change), level=2)
    assert (report.verdict, code in code_set(report)) == (verdict, True), report.findings


def test_a_strict_policy_refuses_classes_that_are_not_kerass_own(tmp_path: Path) -> None:
    path = keras_file(tmp_path / "x.keras", CONFIGS["a class of the user's"][0])
    assert check(path, level=1, policy=Policy(strict=True)).verdict is UNSAFE


def test_a_keras_file_with_a_part_too_few_or_too_many_is_refused(tmp_path: Path) -> None:
    for drop, more in (("model.weights.h5", ""), ("metadata.json", ""), ("", "payload.pkl")):
        report = check(keras_file(tmp_path / "x.keras", str, drop=drop, more=more), level=1)
        assert (report.verdict, code_set(report)) == (INVALID, {"keras-layout"})


# -- HDF5
# --------------------------------------------------------------------------------------------------------------
def test_hdf5_that_is_still_open_is_in_progress(tmp_path: Path) -> None:
    path = copied(tmp_path, "checked.h5")
    data = bytearray(path.read_bytes())
    data[11] |= 5
    path.write_bytes(data)
    assert check(path, level=1).verdict is Verdict.IN_PROGRESS


@needs_h5py
def test_hdf5_that_leads_into_other_files_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "link.h5", "w") as file:
        file["x"] = h5py.ExternalLink("/etc/passwd", "/")
    with h5py.File(tmp_path / "data.h5", "w") as file:
        file.create_dataset("x", (4,), "u1", external=[("/etc/passwd", 0, 4)])
    for name in ("link.h5", "data.h5"):
        report = check(tmp_path / name)
        assert (report.verdict, "hdf5-external" in code_set(report)) == (UNSAFE, True)


@needs_h5py
def test_hdf5_that_unpacks_to_far_more_than_it_is_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "bomb.h5", "w") as file:
        file.create_dataset("x", (1 << 40,), "f4", chunks=(1 << 20,), compression="gzip")
    report = check(tmp_path / "bomb.h5")
    assert (report.verdict, "hdf5-limit" in code_set(report)) == (UNSAFE, True)


@needs_h5py
def test_an_old_keras_model_with_a_lambda_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    with h5py.File(tmp_path / "old.h5", "w") as file:
        file.attrs["model_config"] = json.dumps({"config": {"layers": [{"class_name": "Lambda"}]}})
        file["a"], file["loop"], file["nan"] = 1.0, h5py.SoftLink("/loop"), [1.0, float("nan")]
        file["again"] = file["/"]
    report = check(tmp_path / "old.h5")
    assert (report.verdict, code_set(report) >= {"keras-code", "non-finite"}) == (UNSAFE, True)


@needs_h5py
def test_a_flipped_bit_under_fletcher32_is_refused(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    for name in ("checked.h5", "old-checked.h5"):
        path = copied(tmp_path, name)
        with h5py.File(io.BytesIO(path.read_bytes()), "r") as file:
            values = file["layer/kernel"].id.get_chunk_info(0).byte_offset
        flipped(path, values, 5)
        report = check(path, level=2)
        assert (report.verdict, code_set(report) & {"hdf5-damaged"}) == (
            INVALID,
            {"hdf5-damaged"},
        ), name


@needs_h5py
def test_a_flipped_bit_without_fletcher32_needs_a_manifest_to_be_seen(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = copied(tmp_path, "plain.h5")
    with h5py.File(io.BytesIO(path.read_bytes()), "r") as file:
        values = file["layer/kernel"].id.get_offset()
    flipped(path, values)
    assert check(path).verdict is UNVERIFIABLE
