"""Whatever the bytes are, the answer is a report; only a defect of ours raises or is noted as ``reader-defect``."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.checkpoints import Report, check
from tests.checkpoints.samples import (
    GOLDEN,
    GOOD_PICKLE,
    manifest_text,
    publish,
    safetensors_file,
    torch_file,
    write,
)

OPCODES = st.sampled_from(
    [bytes([code]) for code in b"(0123NJKMGXBCTU]ael)t}dsucRbQhjqr.\x85\x86\x87\x88\x89\x8a\x8b"]
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=8
)


def sound(report: Report) -> bool:
    json.dumps(report.to_json())
    return all(finding.code != "reader-defect" for finding in report.findings)


def looked_at(name: str, data: bytes) -> Report:
    with tempfile.TemporaryDirectory() as folder:
        return check(write(Path(folder) / name, data))


@pytest.mark.slow
@given(data=st.binary(max_size=400), name=st.sampled_from(["x.pt", "x.safetensors", "x.pkl", "x"]))
@settings(max_examples=200, deadline=None)
def test_any_bytes_get_a_report(data: bytes, name: str) -> None:
    assert sound(looked_at(name, data))


@pytest.mark.slow
@given(parts=st.lists(OPCODES | st.binary(max_size=6), max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_pickle_gets_a_report(parts: list[bytes]) -> None:
    assert sound(looked_at("x.pt", torch_file(b"\x80\x02" + b"".join(parts))))


@pytest.mark.slow
@given(
    edits=st.lists(
        st.tuples(st.integers(0, len(GOOD_PICKLE) - 1), st.integers(0, 255)), min_size=1, max_size=4
    )
)
@settings(max_examples=300, deadline=None)
def test_any_edited_pickle_gets_a_report(edits: list[tuple[int, int]]) -> None:
    pickle = bytearray(GOOD_PICKLE)
    for at, value in edits:
        pickle[at] = value
    assert sound(looked_at("x.pt", torch_file(bytes(pickle))))


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["deflated.pt", "epoch=0-step=4.ckpt", "model.safetensors", "legacy.pt"]
)
@given(seed=st.data())
@settings(max_examples=100, deadline=None)
def test_any_edited_file_gets_a_report(name: str, seed: st.DataObject) -> None:
    data = bytearray((GOLDEN / name).read_bytes())
    for _ in range(seed.draw(st.integers(1, 3))):
        data[seed.draw(st.integers(0, len(data) - 1))] = seed.draw(st.integers(0, 255))
    assert sound(looked_at(name, bytes(data)))


@pytest.mark.slow
@given(
    header=st.dictionaries(
        st.text(max_size=3), VALUES | st.dictionaries(st.text(max_size=3), VALUES)
    )
)
@settings(max_examples=80, deadline=None)
def test_any_safetensors_header_gets_a_report(header: dict[str, object]) -> None:
    assert sound(looked_at("x.safetensors", safetensors_file(header)))


@pytest.mark.slow
@given(field=st.sampled_from(["dtype", "shape", "data_offsets"]), value=VALUES)
@settings(max_examples=150, deadline=None)
def test_any_tensor_entry_gets_a_report(field: str, value: object) -> None:
    entry = {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]} | {field: value}
    assert sound(looked_at("x.safetensors", safetensors_file({"w": entry})))


FIELDS = ["schema", "step", "epoch", "workload", "metrics", "files", "complete", "crc32", "other"]


@pytest.mark.slow
@given(changes=st.dictionaries(st.sampled_from(FIELDS), VALUES))
@settings(max_examples=150, deadline=None)
def test_any_manifest_gets_a_report(changes: dict[str, object]) -> None:
    with tempfile.TemporaryDirectory() as root:
        folder = publish(Path(root))
        (folder / "manifest.json").write_text(manifest_text({}, **changes))
        assert sound(check(folder))


@pytest.mark.slow
@given(state=VALUES | st.dictionaries(st.sampled_from(["global_step", "log_history"]), VALUES))
@settings(max_examples=100, deadline=None)
def test_any_trainer_state_gets_a_report(state: object) -> None:
    with tempfile.TemporaryDirectory() as root:
        write(Path(root) / "trainer_state.json", json.dumps(state).encode())
        assert sound(check(Path(root)))


@pytest.mark.slow
@given(weight_map=VALUES | st.dictionaries(st.text(max_size=4), VALUES))
@settings(max_examples=100, deadline=None)
def test_any_index_gets_a_report(weight_map: object) -> None:
    with tempfile.TemporaryDirectory() as root:
        text = json.dumps({"weight_map": weight_map})
        write(Path(root) / "model.safetensors.index.json", text.encode())
        assert sound(check(Path(root)))
