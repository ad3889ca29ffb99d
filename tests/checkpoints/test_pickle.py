from __future__ import annotations

import enum
import functools
import io
import pickle
import random
import re
import struct
import typing
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Policy, Report, Verdict, check
from airflow_runai.checkpoints.pickles.globals import trust
from airflow_runai.checkpoints.pickles.interpreter import load_inert
from tests.checkpoints.samples import torch_file, write


def short(value: str) -> bytes:
    return b"\x8c" + bytes([len(value)]) + value.encode()


def calls(module: str, name: str, *arguments: str) -> bytes:
    """A pickle that calls a function with texts, by GLOBAL and REDUCE."""
    texts = b"".join(short(argument) for argument in arguments)
    return b"\x80\x02c" + f"{module}\n{name}\n".encode() + b"(" + texts + b"tR."


def hostile(canary: Path) -> dict[str, bytes]:
    command = f"touch {canary}"
    touch = calls("os", "system", command)
    return {
        "os.system": touch,
        "posix.system": calls("posix", "system", command),
        "builtins.eval": calls("builtins", "eval", f"open({str(canary)!r}, 'w')"),
        "builtins.getattr": calls("builtins", "getattr", "a", "b"),
        "STACK_GLOBAL by memo": b"\x80\x04" + short("posix") + b"\x940" + short("system") + b"\x940"
        b"h\x00h\x01\x93" + short(command) + b"\x85R.",
        "called, then dropped": touch[:-1] + b"0}.",
        "functools.partial": b"\x80\x02cfunctools\npartial\n(cos\nsystem\n"
        + short(command)
        + b"tR.",
        "getattr of a module": b"\x80\x02cbuiltins\ngetattr\n(cos\nsystem\n"
        + short("__call__")
        + b"tR"
        + b".",
        "getattr fetched twice": b"\x80\x02cbuiltins\ngetattr\nq\x00(cmy\nA\n"
        + short("B")
        + b"tRh\x00\x86.",
        "getattr thrown away": b"\x80\x02cmy\napply\n(cbuiltins\ngetattr\ntR0N.",
        "pkgutil.resolve_name": calls("pkgutil", "resolve_name", "os:system"),
        "numpy runstring": calls("numpy.testing._private.utils", "runstring", "import os", "{}"),
        "collect_env.run": calls("torch.utils.collect_env", "run", command),
        "spawnv_passfds": calls("multiprocessing.util", "spawnv_passfds", "/bin/touch"),
        "importlib": calls("importlib", "import_module", "antigravity"),
        "torch.hub.load": calls("torch.hub", "load", "evil/repo", "x"),
        "inductor PyCodeCache": calls("torch._inductor.codecache", "PyCodeCache.load", "import os"),
        "dotted name": calls("torch", "os.system", command),
        "through a user's module": calls("mypackage.model", "os.system", command),
        "nested torch.load": calls("torch.storage", "_load_from_bytes", "x"),
        "pip.main": calls("pip", "main", "install"),
        "EXT1": b"\x80\x02\x82\x01.",
        "text PERSID": b"\x80\x02Pevil\n.",
        "INST": b"\x80\x02(ios\nsystem\n.",
        "OBJ": b"\x80\x02(cos\nsystem\n" + short(command) + b"o.",
        "no STOP": touch[:-1],
        "calls a value": b"\x80\x02cmymodule\nfactory\n)R)R.",
        "BUILD on a class": b"\x80\x02cmymodule\nModel\n}b.",
        "memo index 2^28": b"\x80\x02Nr\x00\x00\x00\x10.",
        "huge integer": b"\x80\x02\x8b\x00\x00\x10\x00" + bytes(0x100000) + b".",
        "deep nesting": b"\x80\x02" + b"(" * 200_000 + b"N" + b"t" * 200_000 + b".",
        "deep nesting of keys": b"\x80\x02}" + b")" + b"\x85" * 200_000 + b"Ns.",
        "too many objects": b"\x80\x02" + b"]" * 1_300_000 + b".",
    }


MALFORMED = {
    "empty": b"\x80\x02",
    "bytes after STOP": b"\x80\x02N.N",
    "huge text": b"\x80\x02X\xff\xff\xff\x7fabc.",
    "huge 8-byte text": b"\x80\x04\x8d" + b"\xff" * 8 + b"abc.",
    "frame beyond the end": b"\x80\x04\x95\x00\x00\x00\x00\x00\x01\x00\x00N.",
    "unknown opcode": b"\x80\x02\xfeN.",
    "protocol 0 text": b"\x80\x02S'abc'\n.",
    "protocol 1": b"\x80\x01N.",
    "stack underflow": b"\x80\x02\x86.",
    "unbalanced mark": b"\x80\x02t.",
    "unknown memo": b"\x80\x02h\x07.",
    "keys into a list": b"\x80\x02]NNs.",
    "keys into a tensor": b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n)RNNs.",
    "two values": b"\x80\x02NN.",
    "not UTF-8": b"\x80\x02X\x01\x00\x00\x00\xff.",
}


def looked_at(tmp_path: Path, data: bytes) -> Report:
    return check(write(tmp_path / "x.pt", torch_file(data)))


@pytest.mark.slow
@pytest.mark.parametrize("name", hostile(Path("canary")))
def test_a_hostile_pickle_is_unsafe_and_nothing_runs(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "canary"
    report = looked_at(tmp_path, hostile(canary)[name])
    assert report.verdict is Verdict.UNSAFE, report.findings
    assert not canary.exists()


def test_the_canary_would_sing(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    pickle.loads(hostile(canary)["os.system"])
    assert canary.exists()


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_pickle_is_invalid(tmp_path: Path, name: str) -> None:
    report = looked_at(tmp_path, MALFORMED[name])
    assert report.verdict is Verdict.INVALID
    assert report.findings[0].code == "pickle-malformed"


def test_a_hostile_pickle_is_unsafe_even_where_other_scanners_give_up(tmp_path: Path) -> None:
    evil = calls("os", "system", "true")
    wrong_sum = torch_file(evil, crcs={"a/data.pkl": 1})
    assert check(write(tmp_path / "x.pt", wrong_sum)).verdict is Verdict.UNSAFE
    assert check(write(tmp_path / "bare.pt", evil)).verdict is Verdict.UNSAFE
    assert check(write(tmp_path / "bare.pkl", evil)).verdict is Verdict.UNSAFE


def test_foreign_classes_are_reported_and_a_strict_policy_refuses_them(tmp_path: Path) -> None:
    path = write(
        tmp_path / "x.pt", torch_file(b"\x80\x02cmypackage.config\nTrainConfig\n)\x81}b.", data=b"")
    )
    lenient, strict = check(path, level=1), check(path, level=1, policy=Policy(strict=True))
    assert [finding.code for finding in lenient.findings if "pickle" in finding.code] == [
        "pickle-foreign"
    ]
    assert strict.verdict is Verdict.UNSAFE


@pytest.mark.parametrize(
    ("module", "name", "expected"),
    [
        ("collections", "OrderedDict", "allowed"),
        ("torch", "FloatStorage", "allowed"),
        ("torch", "load", "dangerous"),
        ("torch.nn.modules.linear", "Linear", "foreign"),
        ("builtins", "exec", "dangerous"),
        ("builtins", "set", "allowed"),
        ("argparse", "Namespace", "allowed"),
        ("subprocess", "Popen", "dangerous"),
        ("__main__", "Config", "foreign"),
        ("numpy", "dtype", "allowed"),
        ("numpy", "load", "dangerous"),
        ("mylib", "Outer.Inner", "foreign"),
        ("mylib", "Model.__init__", "dangerous"),
        ("transformers.training_args", "TrainingArguments", "foreign"),
        ("functools", "partial", "allowed"),
        ("functools", "reduce", "dangerous"),
        ("typing", "Any", "allowed"),
        ("typing", "get_type_hints", "dangerous"),
        ("numpy", "float32", "allowed"),
        ("torch", "uint4", "allowed"),
        ("torch.nn.functional", "gelu", "allowed"),
        ("torch.nn.functional", "handle_torch_function", "dangerous"),
        ("random", "Random", "allowed"),
    ],
)
def test_names_are_trusted_by_what_they_can_do(module: str, name: str, expected: str) -> None:
    assert trust(module, name) == expected


class Training:
    """A class with one inside, as configurations have."""

    class Mode(enum.Enum):
        FAST = 1


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_class_inside_a_class_is_told_by_its_name(protocol: int) -> None:
    met: list[tuple[str, str]] = []
    load_inert(pickle.dumps([Training.Mode.FAST] * 2, protocol), lambda *name: met.append(name))
    assert {(__name__, "Training.Mode"), (__name__, "Training")} >= set(met)
    assert (__name__, "Training.Mode") in met


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_what_trainings_remember_is_not_dangerous(protocol: int) -> None:
    remembered = {
        "seed": 2**128 - 1,
        "random": random.Random(1),
        "optimizer": functools.partial(dict, lr=0.1),
        "any": typing.Any,
        "buffer": io.BytesIO(b"state"),
        "pattern": re.compile("a+"),
    }
    met: list[tuple[str, str]] = []
    load_inert(pickle.dumps(remembered, protocol), lambda *name: met.append(name))
    assert {trust(*name) for name in met} == {"allowed"}


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_plain_data_comes_back_as_it_was(protocol: int) -> None:
    value = {
        "a": [1, -2, 3.5, None, True, "täxt", (), (1,), (1, 2, 3, 4)],
        "b": {"c": (None,), 5: 2**40},
        "d": [],
    }
    assert load_inert(pickle.dumps(value, protocol), lambda *_: None) == value


def test_what_is_met_is_told_before_the_pickle_turns_out_to_be_broken() -> None:
    met: list[tuple[str, str]] = []
    with pytest.raises(Exception, match="STOP"):
        load_inert(b"\x80\x02cos\nsystem\n", lambda *name: met.append(name))
    assert met == [("os", "system")]


@pytest.mark.slow
def test_colliding_keys_cost_no_time() -> None:
    modulus = 2**61 - 1
    keys = b"".join(
        b"\x8a\x10" + ((i * modulus) % 2**120).to_bytes(16, "little") + b"N"
        for i in range(1, 50_000)
    )
    result = load_inert(b"\x80\x02}(" + keys + b"u.", lambda *_: None)
    assert isinstance(result, dict)
    assert len(result) == 49_999


def test_a_frame_is_only_checked_never_trusted() -> None:
    assert load_inert(b"\x80\x04\x95" + struct.pack("<Q", 2) + b"N.", lambda *_: None) is None
