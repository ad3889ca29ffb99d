from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import Report, Verdict, check
from tests.checkpoints.finding_codes import codes
from tests.checkpoints.samples import (
    GOOD_DATA,
    GOOD_PICKLE,
    end_record,
    state_dict,
    tensor,
    torch_file,
    write,
    zip_file,
)

GOOD = [
    ("a/data.pkl", GOOD_PICKLE),
    ("a/byteorder", b"little"),
    ("a/data/0", GOOD_DATA),
    ("a/version", b"3\n"),
]


def looked_at(tmp_path: Path, data: bytes, **options: Any) -> Report:
    return check(write(tmp_path / "x.pt", data), **options)


def test_the_sample_itself_is_good(tmp_path: Path) -> None:
    report = looked_at(tmp_path, torch_file())
    assert (report.verdict, report.step, report.tensors, codes(report)) == (Verdict.VALID, 7, 1, [])


def test_a_repacked_deflated_file_is_accepted(tmp_path: Path) -> None:
    assert looked_at(tmp_path, torch_file(deflated=True)).verdict is Verdict.VALID


CONTAINERS: dict[str, tuple[bytes, str, Verdict]] = {
    "appended bytes": (torch_file() + b"x", "zip-structure", Verdict.INVALID),
    "prepended bytes": (b"PK\3\4" + torch_file(), "zip-structure", Verdict.INVALID),
    "zero tail": (torch_file()[:-64] + bytes(64), "zip-structure", Verdict.INVALID),
    "encrypted": (torch_file(flags=0x0801), "zip-structure", Verdict.INVALID),
    "two members of one name": (
        zip_file([*GOOD, ("a/data/0", bytes(16))]),
        "zip-duplicate",
        Verdict.INVALID,
    ),
    "local header names another file": (
        zip_file(GOOD, local_names={"a/data/0": "a/data/9"}),
        "zip-mismatch",
        Verdict.INVALID,
    ),
    "path traversal": (zip_file([*GOOD, ("a/../../x", b"")]), "zip-name", Verdict.UNSAFE),
    "absolute path": (zip_file([*GOOD, ("/a/x", b"")]), "zip-name", Verdict.UNSAFE),
    "backslash": (zip_file([*GOOD, ("a/..\\x", b"")]), "zip-name", Verdict.UNSAFE),
    "second top folder": (zip_file([*GOOD, ("b/data.pkl", b"x")]), "torch-layout", Verdict.INVALID),
    "hidden extra member": (
        zip_file([*GOOD, ("a/evil.pkl", b"x")]),
        "torch-unreferenced",
        Verdict.INVALID,
    ),
    "unreferenced storage": (
        zip_file([*GOOD, ("a/data/1", b"x")]),
        "torch-unreferenced",
        Verdict.INVALID,
    ),
    "TorchScript": (zip_file([*GOOD, ("a/constants.pkl", b"x")]), "torch-script", Verdict.UNSAFE),
    "no data.pkl": (zip_file(GOOD[1:]), "torch-layout", Verdict.INVALID),
    "storage missing": (zip_file([*GOOD[:2], GOOD[3]]), "torch-storage", Verdict.INVALID),
    "storage too short": (torch_file(data=GOOD_DATA[:12]), "torch-storage", Verdict.INVALID),
    "wrong crc of a tensor": (torch_file(crcs={"a/data/0": 1}), "zip-crc", Verdict.INVALID),
    "wrong crc of the pickle": (torch_file(crcs={"a/data.pkl": 1}), "zip-crc", Verdict.INVALID),
    "no crc at all": (
        torch_file(crcs=dict.fromkeys((name for name, _ in GOOD), 0)),
        "zip-no-checksums",
        Verdict.UNVERIFIABLE,
    ),
    "unpacks to more than announced": (
        torch_file(deflated=True, data=bytes(5000), sizes={"a/data/0": 16}),
        "zip-bomb",
        Verdict.UNSAFE,
    ),
    "announces terabytes": (
        torch_file(deflated=True, sizes={"a/data/0": 0x70000000}),
        "zip-bomb",
        Verdict.UNSAFE,
    ),
    "unpacks to less than announced": (
        torch_file(
            GOOD_PICKLE.replace(b"J\4\0\0\0tQ", b"J\x05\0\0\0tQ"),
            deflated=True,
            sizes={"a/data/0": 20},
        ),
        "zip-crc",
        Verdict.INVALID,
    ),
    "foreign byte order": (
        zip_file([GOOD[0], ("a/byteorder", b"middle"), *GOOD[2:]]),
        "torch-layout",
        Verdict.INVALID,
    ),
    "directory of nothing": (b"PK\3\4" + end_record(0, 0, 4), "zip-overlap", Verdict.INVALID),
    "count is not believable": (
        b"PK\3\4" + end_record(60000, 0, 4),
        "zip-structure",
        Verdict.INVALID,
    ),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_a_container_that_lies_is_refused(tmp_path: Path, name: str) -> None:
    data, code, verdict = CONTAINERS[name]
    report = looked_at(tmp_path, data)
    assert (codes(report), report.verdict) == ([code], verdict)


def test_overlapping_members_are_refused(tmp_path: Path) -> None:
    data = bytearray(zip_file([*GOOD, ("a/.format_version", b"1")]))
    last_entry = data.rindex(b"PK\1\2")
    first_local = struct.pack("<I", 0)
    data[last_entry + 42 : last_entry + 46] = first_local
    assert codes(looked_at(tmp_path, bytes(data))) == ["zip-overlap"]


VIEWS: dict[str, tuple[bytes, str]] = {
    "reaches out of its storage": (tensor("0", 4, (2, 3), (3, 1)), "torch-view"),
    "begins behind its storage": (tensor("0", 4, (2, 2), (2, 1), offset=1), "torch-view"),
    "negative size": (tensor("0", 4, (-2, 2), (2, 1)), "torch-view"),
    "negative stride": (tensor("0", 4, (2, 2), (-2, 1)), "torch-view"),
    "negative offset": (tensor("0", 4, (2, 2), (2, 1), offset=-1), "torch-view"),
    "shape and stride of other ranks": (tensor("0", 4, (2, 2), (2,)), "torch-view"),
    "negative storage": (tensor("0", -4, (2, 2), (2, 1)), "torch-storage"),
    "storage of two sizes": (
        b"(" + tensor("0", 4, (4,), (1,)) + tensor("0", 3, (3,), (1,)) + b"t",
        "torch-storage",
    ),
    "unknown storage class": (
        tensor("0", 4, (4,), (1,)).replace(b"FloatStorage", b"DeviceStorage"),
        "torch-storage",
    ),
}


@pytest.mark.parametrize("name", VIEWS)
def test_a_tensor_that_contradicts_itself_is_refused(tmp_path: Path, name: str) -> None:
    pickle, code = VIEWS[name]
    report = looked_at(tmp_path, torch_file(state_dict({"weight": pickle})))
    assert code in codes(report)
    assert not report.accepted()


CONTENTS: dict[str, tuple[str, list[float], list[str], Verdict]] = {
    "NaN in a weight": ("weight", [1.0, math.nan, 1.0, 1.0], ["non-finite"], Verdict.POISONED),
    "-inf in a weight": ("weight", [1.0, -math.inf, 1.0, 1.0], ["non-finite"], Verdict.POISONED),
    "infinite optimizer moment": (
        "exp_avg",
        [0.0, -math.inf, 0.0, 0.0],
        ["non-finite"],
        Verdict.POISONED,
    ),
    "causal mask": ("causal", [0.0, -math.inf, 0.0, 0.0], ["mask-infinite"], Verdict.VALID),
    "best loss so far": ("best_loss", [math.inf] * 4, ["score-non-finite"], Verdict.VALID),
    "weights of zero": ("weight", [0.0] * 4, ["all-zero"], Verdict.VALID),
    "bias of zero": ("layer.bias", [0.0] * 4, [], Verdict.VALID),
}


@pytest.mark.parametrize("name", CONTENTS)
def test_numbers_are_judged_by_what_they_are_for(tmp_path: Path, name: str) -> None:
    key, values, expected, verdict = CONTENTS[name]
    pickle = state_dict({key: tensor("0", 4, (4,), (1,))})
    report = looked_at(tmp_path, torch_file(pickle, struct.pack("<4f", *values)))
    assert (codes(report), report.verdict) == (expected, verdict)


def test_a_tensor_of_a_subclass_is_looked_at_like_any_other(tmp_path: Path) -> None:
    rebuild, arguments = tensor("0", 4, (4,), (1,))[:-1].split(b"(", 1)
    wrapped = (
        b"ctorch._tensor\n_rebuild_from_type_v2\n("
        + rebuild
        + b"cmylib\nTagged\n("
        + arguments
        + b"}tR"
    )
    report = looked_at(
        tmp_path, torch_file(state_dict({"weight": wrapped}), struct.pack("<4f", 1, 2, 3, math.nan))
    )
    assert (codes(report), report.tensors) == (["pickle-foreign", "non-finite"], 1)


def test_a_storage_that_unpacks_to_half_a_number_is_told_as_damage(tmp_path: Path) -> None:
    report = looked_at(
        tmp_path, torch_file(deflated=True, data=GOOD_DATA[:-2], sizes={"a/data/0": 16})
    )
    assert (codes(report), report.verdict) == (["zip-crc"], Verdict.INVALID)


def test_big_endian_numbers_are_read_as_such(tmp_path: Path) -> None:
    members = [
        ("a/data.pkl", GOOD_PICKLE),
        ("a/byteorder", b"big"),
        ("a/data/0", struct.pack(">4f", 1, 2, 3, math.nan)),
    ]
    report = looked_at(tmp_path, zip_file(members))
    assert codes(report) == ["torch-byteorder", "non-finite"]


def test_uninitialised_memory_around_a_view_is_left_alone(tmp_path: Path) -> None:
    pickle = state_dict({"weight": tensor("0", 4, (2,), (1,), offset=1)})
    data = struct.pack("<4f", math.nan, 1.0, 2.0, math.nan)
    assert looked_at(tmp_path, torch_file(pickle, data)).verdict is Verdict.VALID


def test_content_is_not_looked_at_below_level_three(tmp_path: Path) -> None:
    data = torch_file(data=struct.pack("<4f", 1, 2, 3, math.nan))
    verdicts = [looked_at(tmp_path, data, level=level).verdict for level in range(4)]
    assert verdicts == [Verdict.VALID] * 3 + [Verdict.POISONED]
