"""Distributed and old PyTorch checkpoints with any bytes changed: always a report, never a defect of ours."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.checkpoints import Report, check
from tests.checkpoints.distributed_samples import (
    GOOD,
    Announced,
    Piece,
    Save,
    instance,
    mapping,
    number,
    size,
)
from tests.checkpoints.samples import GOLDEN, text, write
from tests.checkpoints.test_legacy_torch import legacy_file

FILES = [
    *(
        "dcp-step-4/.metadata",
        "dcp-step-4/__0_0.distcp",
        "dcp-safetensors/.metadata",
        "dcp-safetensors/__0_0.distcp",
    ),
    *("megatron/iter_0000004/common.pt", "megatron/iter_0000004/metadata.json", "deepspeed/latest"),
    *("deepspeed/global_step4/mp_rank_00_model_states.pt", "lightning-legacy.ckpt"),
]
VALUES = st.sampled_from(
    [b"N", b"]", b"}", b")", b"K\x07", text("a"), text("../a"), size((1, 2)), number(-1), b"\x88"]
)
NATURALS = st.integers(0, 6)


def sound(report: Report) -> bool:
    json.dumps(report.to_json())
    return all(finding.code != "reader-defect" for finding in report.findings)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
@given(seed=st.data())
@settings(max_examples=60, deadline=None)
def test_any_edited_file_gets_a_report(name: str, seed: st.DataObject) -> None:
    top = name.partition("/")[0]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / top
        (shutil.copytree if (GOLDEN / top).is_dir() else shutil.copy)(GOLDEN / top, path)
        data = bytearray((Path(folder) / name).read_bytes())
        for _ in range(seed.draw(st.integers(1, 3))):
            data[seed.draw(st.integers(0, len(data) - 1))] = seed.draw(st.integers(0, 255))
        write(Path(folder) / name, bytes(data[: seed.draw(st.integers(len(data) // 2, len(data)))]))
        assert sound(check(path))


@pytest.mark.slow
@given(
    fields=st.dictionaries(
        st.sampled_from(["state_dict_metadata", "planner_data", "storage_data", "version"]), VALUES
    ),
    inner=st.dictionaries(
        st.sampled_from(["fqn", "offset", "index", "relative_path", "length"]), VALUES, min_size=1
    ),
    name=st.sampled_from(["MetadataIndex", "_StorageInfo", "Metadata", "TensorStorageMetadata"]),
)
@settings(max_examples=150, deadline=None)
def test_any_fields_of_metadata_get_a_report(
    fields: dict[str, bytes], inner: dict[str, bytes], name: str
) -> None:
    odd = instance(name, inner)
    save = Save(GOOD.tensors, GOOD.pieces, fields={"storage_data": mapping([(odd, odd)])} | fields)
    with tempfile.TemporaryDirectory() as folder:
        assert sound(check(save.write(Path(folder) / "step-4")))


@pytest.mark.slow
@given(
    shape=st.lists(NATURALS, max_size=3),
    chunks=st.dictionaries(
        st.lists(NATURALS, max_size=3).map(tuple),
        st.lists(NATURALS, max_size=3).map(tuple),
        max_size=4,
    ),
)
@settings(max_examples=150, deadline=None)
def test_any_cut_of_a_tensor_gets_a_report(
    shape: list[int], chunks: dict[tuple[int, ...], tuple[int, ...]]
) -> None:
    places = [Piece("w", place, b"x") for place in chunks]
    with tempfile.TemporaryDirectory() as folder:
        save = Save({"w": Announced(tuple(shape), chunks)}, places, objects=())
        assert sound(check(save.write(Path(folder) / "step-4")))


@given(
    root=st.dictionaries(st.text(max_size=3), VALUES, max_size=3),
    keys=st.lists(st.text(max_size=2) | NATURALS),
)
@settings(max_examples=100, deadline=None)
def test_any_old_file_gets_a_report(root: dict[str, bytes], keys: list[object]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        assert sound(check(write(Path(folder) / "x.pt", legacy_file(root, keys=tuple(keys)))))
