"""What a pickle does with a name decides: to name runs nothing, to make may run something, to call runs anything."""

from __future__ import annotations

import array
import collections
import io
import operator
import pickle
import struct
import zoneinfo
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airflow_runai.checkpoints import Report, Verdict, check
from airflow_runai.checkpoints.pickles.interpreter import load_inert
from tests.checkpoints.finding_codes import code_set
from tests.checkpoints.samples import text, write, zip_file
from tests.checkpoints.test_pickle import calls, hostile

VALID, UNVERIFIABLE, UNSAFE, INVALID = (
    Verdict.VALID,
    Verdict.UNVERIFIABLE,
    Verdict.UNSAFE,
    Verdict.INVALID,
)


def looked_at(folder: Path, data: bytes) -> Report:
    """A file of ``torch.save`` without tensors."""
    members = [("a/data.pkl", data), ("a/byteorder", b"little"), ("a/version", b"3\n")]
    return check(write(folder / "x.pt", zip_file(members)))


# -- libraries that are not known
# --------------------------------------------------------------------------------------
RUNNING = {
    "psutil": ("psutil", "Popen"),
    "pexpect": ("pexpect", "run"),
    "PyYAML": ("yaml", "unsafe_load"),
    "ray": ("ray.cloudpickle", "loads"),
    "gevent": ("gevent.subprocess", "Popen"),
    "numexpr": ("numexpr", "evaluate"),
    "sympy": ("sympy.parsing.sympy_parser", "parse_expr"),
    "py": ("py._process.cmdexec", "cmdexec"),
    "somebody's own": ("my_project.utils", "run"),
    "plumbum": ("plumbum.cmd", "sh"),
    "a taken over module": ("vendored.six.moves.builtins", "thing"),
}


@pytest.mark.parametrize("name", RUNNING)
def test_a_function_of_an_unknown_library_that_is_called_is_unsafe(
    tmp_path: Path, name: str
) -> None:
    assert looked_at(tmp_path, calls(*RUNNING[name], "touch canary")).verdict is UNSAFE


def test_an_object_of_an_unknown_library_cannot_be_verified(tmp_path: Path) -> None:
    report = looked_at(tmp_path, calls("my_project.modes", "Mode", "fast"))
    assert (report.verdict, code_set(report)) == (UNVERIFIABLE, {"pickle-foreign-made"})


def test_an_object_that_is_made_without_its_constructor_is_named(tmp_path: Path) -> None:
    report = looked_at(tmp_path, b"\x80\x02cmy_project.config\nConfig\n)\x81}b.")
    assert (report.verdict, code_set(report)) == (VALID, {"pickle-foreign"})


THROUGH: dict[str, bytes] = {
    "a tensor's type": b"ctorch._tensor\n_rebuild_from_type_v2\n(cmy\nrun\nctorch\nTensor\n%s\x85}tR.",
    "a random generator": b"cnumpy.random._pickle\n__generator_ctor\n(%scmy\nrun\ntR.",
    "an array of jax": b"cjax._src.array\n_reconstruct_array\n(cmy\nrun\n%s\x85}}tR.",
}


@pytest.mark.parametrize("name", THROUGH)
def test_a_function_that_is_handed_to_one_that_calls_it_is_called(
    tmp_path: Path, name: str
) -> None:
    report = looked_at(tmp_path, b"\x80\x02" + THROUGH[name] % text("touch canary"))
    assert (report.verdict, "pickle-foreign-call" in code_set(report)) == (UNSAFE, True)


def test_what_would_be_called_may_not_be_made_up_either(tmp_path: Path) -> None:
    item = b"coperator\nitemgetter\nK\x00\x85R"
    data = b"\x80\x02ctorch._tensor\n_rebuild_from_type_v2\n(" + item + b"ctorch\nTensor\n)}tR."
    assert looked_at(tmp_path, data).verdict is UNSAFE


def test_a_class_with_a_base_is_made_by_the_constructor_of_the_base(tmp_path: Path) -> None:
    data = (
        b"\x80\x02ccopyreg\n_reconstructor\n(cmy\nThing\ncmy\nThing\n"
        + text("touch canary")
        + b"tR."
    )
    assert looked_at(tmp_path, data).verdict is UNVERIFIABLE
    plain = b"\x80\x02ccopyreg\n_reconstructor\n(cmy\nThing\ncbuiltins\nobject\nNtR."
    assert looked_at(tmp_path, plain).verdict is VALID


# -- what is harmless
# --------------------------------------------------------------------------------------------------
def harmless() -> dict[str, Callable[[], object]]:
    return {
        "array": lambda: array.array("f", [1.0, 2.0]),
        "itemgetter": lambda: operator.itemgetter(1),
        "time zone": lambda: zoneinfo.ZoneInfo("UTC"),
        "masked array": lambda: np.ma.masked_array([1.0, 2.0], [False, True]),
        "a million words": lambda: {f"word {number}": number for number in range(300_000)},
        "many losses": lambda: [1.5] * 300_000,
        "counts": lambda: collections.Counter("abc"),
        "large array": lambda: np.zeros(1_000_000),
    }


#: Protocols 0 and 1 write large values as text, for minutes; the small ones show what is read
#: there.
LARGE = ("a million words", "many losses", "large array")
CASES = [
    (name, protocol)
    for name in harmless()
    for protocol in (0, 1, 2, 5)
    if protocol > 1 or name not in LARGE
]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "protocol"), CASES)
def test_what_trainings_keep_is_not_called_dangerous(
    tmp_path: Path, name: str, protocol: int
) -> None:
    report = check(write(tmp_path / "x.pkl", pickle.dumps(harmless()[name](), protocol)))
    assert (report.verdict, code_set(report)) == (UNVERIFIABLE, {"pickle-no-checksum"})


@pytest.mark.slow
@pytest.mark.parametrize("library", ["scipy.sparse", "sklearn.neighbors"])
def test_what_scientific_libraries_keep_is_not_called_dangerous(
    tmp_path: Path, library: str
) -> None:
    module: Any = pytest.importorskip(library)
    if library == "scipy.sparse":
        value = [
            getattr(module, f"{kind}_matrix")(np.eye(3))
            for kind in ("csr", "csc", "coo", "bsr", "dia", "lil")
        ]
    else:
        value = module.KNeighborsClassifier(algorithm="kd_tree").fit(np.eye(4, 2), [0, 1, 0, 1])
    report = check(write(tmp_path / "x.pkl", pickle.dumps(value)))
    assert report.verdict is UNVERIFIABLE, report.findings


# -- protocols 0 and 1, and the age before PyTorch 1.6
# -----------------------------------------------------------------
PLAIN = {
    "a": [1, -2, 3.5, None, True, False, "täxt\n", "q'\"", b"", (), (1,), (1, 2, 3, 4)],
    "b": 2**80,
    "c": {5: []},
}


@pytest.mark.parametrize("protocol", [0, 1])
def test_plain_data_of_old_protocols_comes_back_as_it_was(protocol: int) -> None:
    items = [item for item in PLAIN["a"] if item != b""]  # type: ignore[attr-defined]
    value = PLAIN | {"a": items}
    assert load_inert(pickle.dumps(value, protocol), lambda *_: None) == value


@pytest.mark.parametrize("protocol", [0, 1])
def test_old_protocols_hide_nothing(tmp_path: Path, protocol: int) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            import os

            return os.system, ("true",)

    assert check(write(tmp_path / "x.pkl", pickle.dumps(Evil(), protocol))).verdict is UNSAFE


@pytest.mark.parametrize(
    "data",
    [
        b"(ios\nsystem\n.",
        b"(cos\nsystem\nVtrue\no.",
        b"V\\u006fs\nV\\u0073ystem\n\x93Vtrue\n\x85R.",
        b"S'o\\x73'\nS'syst\\x65m'\n\x93Vtrue\n\x85R.",
        b"cos\nsystem\np5\n0g5\n(S'true'\ntR.",
    ],
)
def test_names_that_are_spelled_with_escapes_are_read(tmp_path: Path, data: bytes) -> None:
    report = check(write(tmp_path / "x.pkl", data))
    assert (report.verdict, "pickle-dangerous" in code_set(report)) == (UNSAFE, True)


def test_memo_indices_count_as_python_counts_them(tmp_path: Path) -> None:
    """
    Put twice at one index, the next free one is 1; whoever counts puts would fetch another name.
    """
    data = (
        b"\x80\x04"
        + b"\x8c\x01xq\x00q\x000"
        + b"\x8c\x02os\x940"
        + b"\x8c\x06systemq\x020"
        + b"h\x01h\x02\x93."
    )
    assert pickle.loads(data[:-2] + b"\x86.") == ("os", "system")
    assert check(write(tmp_path / "x.pkl", data)).verdict is UNSAFE


@pytest.mark.parametrize("protocol", [0, 1, 2, 4])
def test_whole_models_of_old_files_are_what_they_are(tmp_path: Path, protocol: int) -> None:
    torch: Any = pytest.importorskip("torch")
    model = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    torch.save(
        model, tmp_path / "x.pt", _use_new_zipfile_serialization=False, pickle_protocol=protocol
    )
    report = check(tmp_path / "x.pt")
    assert report.format == "torch-legacy"
    if protocol == 0:
        with pytest.raises(Exception, match=r"."):
            torch.load(tmp_path / "x.pt", weights_only=False)
        assert (report.verdict, code_set(report)) == (INVALID, {"pickle-malformed"})
    else:
        assert (report.verdict, code_set(report)) == (
            UNVERIFIABLE,
            {"pickle-foreign", "legacy-no-checksum"},
        )


def test_sizes_are_a_limit_and_no_danger(tmp_path: Path) -> None:
    report = check(
        write(
            tmp_path / "x.pkl",
            b"\x80\x02X" + struct.pack("<I", 65 << 20) + b"a" * (65 << 20) + b".",
        )
    )
    assert (report.verdict, code_set(report), report.transient) == (
        Verdict.UNKNOWN,
        {"too-large"},
        False,
    )


# -- other scanners as oracles
# -----------------------------------------------------------------------------------------
#: What others refuse and is accepted here, and why.
ACCEPTED_ALL_THE_SAME: dict[str, str] = {}


def corpus(canary: Path) -> dict[str, bytes]:
    running = {f"{name} is called": calls(*RUNNING[name], "true") for name in RUNNING}
    through = {f"through {name}": b"\x80\x02" + THROUGH[name] % text("true") for name in THROUGH}
    return {**hostile(canary), **running, **through}


@pytest.mark.slow
def test_whatever_picklescan_refuses_is_refused(tmp_path: Path) -> None:
    scanner: Any = pytest.importorskip("picklescan.scanner")
    refused = 0
    for name, data in corpus(tmp_path / "canary").items():
        found = scanner.scan_pickle_bytes(io.BytesIO(data), name)
        if found.infected_files or found.issues_count:
            refused += 1
            assert looked_at(tmp_path, data).verdict is UNSAFE or name in ACCEPTED_ALL_THE_SAME, (
                name
            )
    assert refused > 15


def test_whatever_fickling_calls_malicious_is_refused(tmp_path: Path) -> None:
    analysis: Any = pytest.importorskip("fickling.analysis")
    pickled: Any = pytest.importorskip("fickling.fickle").Pickled
    refused = 0
    for name, data in corpus(tmp_path / "canary").items():
        if len(data) > 100_000:  # it chokes on what is meant to choke a reader
            continue
        try:
            severity = analysis.check_safety(pickled.load(io.BytesIO(data))).severity
        except Exception:  # it gives up on what is broken
            continue
        if severity >= analysis.Severity.LIKELY_OVERTLY_MALICIOUS:
            refused += 1
            assert looked_at(tmp_path, data).verdict is UNSAFE or name in ACCEPTED_ALL_THE_SAME, (
                name
            )
    assert refused > 5
