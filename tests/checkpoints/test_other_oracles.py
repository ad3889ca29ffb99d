"""
Where the real libraries are importable: what they find in a file is what was found without them.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import Verdict, check
from airflow_runai.checkpoints.checking.ledger import TensorEntry
from tests.checkpoints.samples import GOLDEN, write

OTHER = GOLDEN / "other"


def entries(path: Path) -> dict[str, TensorEntry]:
    ledger = check(path).ledger
    assert ledger is not None
    return {name: entry for (_, name), entry in ledger.tensors.items()}


@pytest.mark.slow
def test_tensorflow_finds_the_same_tensors() -> None:
    tensorflow = pytest.importorskip("tensorflow")
    for prefix in (
        "tensorflow/ckpt-3",
        "tensorflow/ckpt-12",
        "two-shards/model.ckpt-500",
        "saved_model/variables/variables",
    ):
        reader = tensorflow.train.load_checkpoint(str(OTHER / prefix))
        shapes: dict[str, list[int]] = reader.get_variable_to_shape_map()
        cleaned = {
            name.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").replace("/", "."): shapes[name]
            for name in shapes
        }
        found = entries(OTHER / f"{prefix}.index")
        assert {name: list(entry.shape) for name, entry in found.items()} == cleaned


@pytest.mark.slow
def test_tensorflow_loads_what_is_accepted_and_fails_where_a_tensor_is_refused(
    tmp_path: Path,
) -> None:
    tensorflow = pytest.importorskip("tensorflow")
    name = "model.ckpt-500"
    for file in (OTHER / "two-shards").iterdir():
        write(tmp_path / file.name, file.read_bytes())
    assert tensorflow.train.load_checkpoint(str(tmp_path / name)).get_tensor("a").shape == (5,)
    shard = tmp_path / f"{name}.data-00000-of-00002"
    shard.write_bytes(bytes([shard.read_bytes()[0] ^ 1]) + shard.read_bytes()[1:])
    assert check(tmp_path / f"{name}.index").verdict is Verdict.INVALID
    with pytest.raises(tensorflow.errors.OpError, match="Checksum does not match"):
        tensorflow.train.load_checkpoint(str(tmp_path / name)).get_tensor("a")


def test_numpy_finds_the_same_arrays() -> None:
    numpy = pytest.importorskip("numpy")
    for name in ("state.npz", "packed.npz"):
        with numpy.load(OTHER / name) as arrays:
            expected = {key: (arrays[key].dtype.str, arrays[key].shape) for key in arrays}
        assert {
            key: (entry.dtype, entry.shape) for key, entry in entries(OTHER / name).items()
        } == expected


def test_h5py_finds_the_same_datasets() -> None:
    h5py = pytest.importorskip("h5py")
    for name in ("checked.h5", "plain.h5", "model.h5"):
        expected: dict[str, tuple[int, ...]] = {}

        def collect(key: str, item: Any, into: dict[str, tuple[int, ...]] = expected) -> None:
            if isinstance(item, h5py.Dataset):
                into[key.replace("/", ".")] = item.shape

        with h5py.File(OTHER / name, "r") as file:
            file.visititems(collect)
        assert {key: entry.shape for key, entry in entries(OTHER / name).items()} == expected


def test_onnx_finds_the_same_initializers() -> None:
    onnx = pytest.importorskip("onnx")
    for path in (OTHER / "model.onnx", OTHER / "onnx-outside" / "model.onnx"):
        model = onnx.load(path)
        expected = {
            tensor.name: tuple(tensor.dims)
            for tensor in model.graph.initializer
            if tensor.name != "c"
        }
        found = {name: entry.shape for name, entry in entries(path).items() if name}
        assert found == expected


def test_gguf_finds_the_same_tensors() -> None:
    gguf = pytest.importorskip("gguf")
    reader = gguf.GGUFReader(OTHER / "model.gguf")
    expected = {
        t.name: (t.tensor_type.name, tuple(map(int, t.shape)), int(t.n_bytes))
        for t in reader.tensors
    }
    found = entries(OTHER / "model.gguf")
    assert {name: (entry.dtype, entry.shape) for name, entry in found.items()} == {
        name: (dtype, shape) for name, (dtype, shape, _) in expected.items()
    }


@pytest.mark.slow
def test_keras_loads_what_is_accepted() -> None:
    keras = pytest.importorskip("keras")
    model = keras.models.load_model(OTHER / "model.keras")
    stored = {entry.shape for entry in entries(OTHER / "model.keras").values()}
    assert {tuple(weight.shape) for weight in model.weights} <= stored


@pytest.mark.slow
def test_a_graph_that_protobuf_cannot_parse_is_refused(tmp_path: Path) -> None:
    """Damaged in 100 ways; what still parses is other content, which nothing can prove."""
    messages: Any = pytest.importorskip("tensorflow.core.protobuf.saved_model_pb2")
    folder = shutil.copytree(OTHER / "saved_model", tmp_path / "model")
    whole, chance = (folder / "saved_model.pb").read_bytes(), random.Random(7)
    failed = 0
    for _ in range(100):
        data, at = bytearray(whole), chance.randrange(len(whole) - 400)
        kind = chance.choice(["flip", "cut", "zeroed", "swapped"])
        if kind == "flip":
            data[at] ^= 1 << chance.randrange(8)
        elif kind == "cut":
            del data[at:]
        elif kind == "zeroed":
            data[at : at + 64] = bytes(64)
        else:
            data[at : at + 400] = data[at + 200 : at + 400] + data[at : at + 200]
        write(folder / "saved_model.pb", bytes(data))
        try:
            messages.SavedModel.FromString(bytes(data))
        except Exception:
            failed += 1
            assert check(folder).verdict is Verdict.INVALID, (kind, at)
        else:
            assert check(folder).accepted(accept_unverifiable=True), (kind, at)
    assert failed > 30
