"""
Make the golden checkpoints of the formats that are not PyTorch's; run by hand, in an environment of its own.

    python -m venv /tmp/golden
    /tmp/golden/bin/pip install tensorflow-cpu==2.21.0 orbax-checkpoint==0.12.8 h5py onnx gguf
    /tmp/golden/bin/python tests/checkpoints/golden/other/make.py

Writes beside itself, together with VERSIONS. All data is random with a fixed seed.
"""

# mypy: ignore-errors
# (written against libraries that are not installed where the types are checked)
from __future__ import annotations

import os
import platform
import shutil
from importlib.metadata import version
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import gguf
import h5py
import keras
import numpy
import onnx
import orbax.checkpoint
import tensorflow
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).parent
CHANCE = numpy.random.default_rng(0)


def weights(*shape: int) -> numpy.ndarray:
    return CHANCE.normal(size=shape).astype("float32")


def tensorflow_checkpoints() -> None:
    folder = HERE / "tensorflow"
    state = {
        "kernel": tensorflow.Variable(weights(40, 30)),
        "half": tensorflow.Variable(weights(4, 3), dtype=tensorflow.bfloat16),
        "words": tensorflow.Variable(["a", "", "ü" * 200]),
        "flags": tensorflow.Variable([True, False]),
        "count": tensorflow.Variable(7, dtype=tensorflow.int64),
        "scale": tensorflow.Variable([1.5, 2.5], dtype=tensorflow.float64),
    }
    manager = tensorflow.train.CheckpointManager(
        tensorflow.train.Checkpoint(**state), folder, max_to_keep=2
    )
    manager.save(checkpoint_number=3)
    manager.save(checkpoint_number=12)
    parts = [str(HERE / "two-shards" / f"part-{number}") for number in range(2)]
    for part, name in zip(parts, ("a", "b"), strict=True):
        tensorflow.raw_ops.SaveV2(
            prefix=part,
            tensor_names=[name],
            shape_and_slices=[""],
            tensors=[tensorflow.constant(weights(5))],
        )
    tensorflow.raw_ops.MergeV2Checkpoints(
        checkpoint_prefixes=parts,
        destination_prefix=str(HERE / "two-shards" / "model.ckpt-500"),
        delete_old_dirs=False,
    )


class Module(tensorflow.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = tensorflow.Variable(weights(3, 2))

    @tensorflow.function(input_signature=[tensorflow.TensorSpec([None, 3], tensorflow.float32)])
    def __call__(self, x: tensorflow.Tensor) -> tensorflow.Tensor:
        return x @ self.kernel


def keras_files() -> None:
    hidden = keras.layers.Dense(4, activation="relu")
    model = keras.Sequential([keras.layers.Input((3,)), hidden, keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.fit(weights(8, 3), weights(8, 2), verbose=0)
    model.save(HERE / "model.keras")
    model.save(HERE / "model.h5")
    model.save_weights(HERE / "model.weights.h5")


def hdf5_files() -> None:
    for name, low in (("checked.h5", "latest"), ("old-checked.h5", "earliest")):
        with h5py.File(HERE / name, "w", libver=low) as file:
            group = file.create_group("layer")
            group.create_dataset("kernel", data=weights(20, 10), chunks=(8, 10), fletcher32=True)
            group.create_dataset(
                "bias", data=weights(10), chunks=(10,), fletcher32=True, compression="gzip"
            )
    with h5py.File(HERE / "plain.h5", "w") as file:
        file["layer/kernel"] = weights(20, 10)
        file["layer/count"] = numpy.int64(7)
        file["layer/name"] = "a name"


def orbax_checkpoint() -> None:
    state = {"kernel": weights(30, 20), "bias": weights(20), "step": numpy.int64(7)}
    with orbax.checkpoint.CheckpointManager(HERE / "orbax") as manager:
        manager.save(7, args=orbax.checkpoint.args.StandardSave(state))
        manager.wait_until_finished()
    # Names the folder of whoever made it.
    for marker in (HERE / "orbax").rglob("commit_success.txt"):
        marker.write_text("Checkpoint commit was successful to /checkpoints/7")


def arrays() -> None:
    state = {
        "kernel": weights(30, 20),
        "half": weights(4).astype("float16"),
        "count": numpy.int64(7),
    }
    state |= {
        "big": weights(5).astype(">f8"),
        "order": numpy.asfortranarray(weights(3, 4)),
        "text": numpy.array(["ä"]),
    }
    numpy.savez(HERE / "state.npz", **state)
    numpy.savez_compressed(HERE / "packed.npz", **state)


def gguf_file() -> None:
    writer = gguf.GGUFWriter(HERE / "model.gguf", "llama")
    writer.add_block_count(1)
    writer.add_array("tokenizer.ggml.tokens", ["a", "b", "ü"])
    writer.add_array("tokenizer.ggml.scores", [0.5, 0.25, 0.125])
    writer.add_tensor("token_embd.weight", weights(8, 32))
    writer.add_tensor("output.weight", weights(8, 32).astype("float16"))
    writer.add_tensor("norm.weight", weights(5))
    packed = gguf.quants.quantize(weights(4, 64), gguf.GGMLQuantizationType.Q8_0)
    writer.add_tensor("packed.weight", packed, raw_dtype=gguf.GGMLQuantizationType.Q8_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def onnx_files() -> None:
    body = helper.make_graph(
        [], "body", [], [helper.make_tensor_value_info("w", TensorProto.FLOAT, [4, 3])]
    )
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["y"]),
        helper.make_node(
            "Constant", [], ["low"], value=numpy_helper.from_array(numpy.float32(-numpy.inf))
        ),
        helper.make_node("If", ["c"], ["z"], then_branch=body, else_branch=body),
    ]
    stored = [
        numpy_helper.from_array(weights(4, 3), "w"),
        helper.make_tensor("b", TensorProto.FLOAT, [2], [0.5, 1.5]),
    ]
    stored.append(helper.make_tensor("c", TensorProto.BOOL, [], [True]))
    ends = (
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 3])],
    )
    model = helper.make_model(
        helper.make_graph(nodes, "graph", *ends, stored), producer_name="golden"
    )
    onnx.save(model, HERE / "model.onnx")
    (HERE / "onnx-outside").mkdir(exist_ok=True)
    outside = {"save_as_external_data": True, "location": "weights.bin", "size_threshold": 16}
    onnx.save_model(model, HERE / "onnx-outside" / "model.onnx", **outside)


def clean() -> None:
    for path in HERE.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("make.py", "VERSIONS"):
            path.unlink()


if __name__ == "__main__":
    clean()
    tensorflow.random.set_seed(0)
    keras.utils.set_random_seed(0)
    tensorflow_checkpoints()
    tensorflow.saved_model.save(Module(), HERE / "saved_model")
    keras_files()
    hdf5_files()
    orbax_checkpoint()
    arrays()
    gguf_file()
    onnx_files()
    names = ("tensorflow_cpu", "keras", "orbax-checkpoint", "jax", "h5py", "numpy", "onnx", "gguf")
    lines = [f"python {platform.python_version()}", *(f"{name} {version(name)}" for name in names)]
    (HERE / "VERSIONS").write_text("\n".join(lines) + "\n")
