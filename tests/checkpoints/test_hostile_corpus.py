"""
The whole hostile corpus through ``check``, in processes that may not have more than 1 GiB of address space.

An audit hook (PEP 578) watches each: nothing is run, opened for writing, removed, connected to or
unpickled. Peak memory is under 256 MiB and the time under 10 s of CPU for each file, which is what
the kernel says of the process.
"""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.checkpoints.bounded_check import MAX_PEAK_KIB, MAX_SECONDS
from tests.checkpoints.samples import (
    GOOD_DATA,
    GOOD_PICKLE,
    manifest_text,
    safetensors_file,
    torch_file,
    write,
    zip_file,
)
from tests.checkpoints.test_pickle import hostile

MIB = 1024 * 1024
ROOT = Path(__file__).parents[2]
PROGRAM = """
import json, resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (1 << 30, 1 << 30))
from pathlib import Path
from airflow_runai.checkpoints import check
import numpy, isal.isal_zlib

FORBIDDEN = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "subprocess.Popen", "exec",
             "pickle.find_class", "ctypes.dlopen", "socket.connect", "socket.bind", "os.remove", "os.rename",
             "os.mkdir", "os.symlink", "os.truncate", "shutil.rmtree")
done = []

def watch(event, arguments):
    if event in FORBIDDEN or (event == "open" and set(str(arguments[1])) & set("wax+")):
        done.append(f"{event} {arguments!r:.200}")

sys.addaudithook(watch)
for path in sys.argv[1:]:
    begin = time.process_time()
    report = check(Path(path))
    lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    codes = [finding.code for finding in report.findings]
    print(json.dumps([report.verdict.value, time.process_time() - begin, int(lines["VmHWM"].split()[0]), codes, done]))
"""


def overlapping(count: int, size: int) -> bytes:
    """One run of bytes that each of many members claims as its own (Fifield's bomb without the compression)."""
    data = bytearray(zip_file([("a/data.pkl", GOOD_PICKLE), ("a/data/0", bytes(size))]))
    entry = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    length = struct.unpack_from("<H", data, entry + 28)[0]
    one = bytes(data[entry : entry + 46 + length])
    first = data.index(b"PK\1\2")
    names = [one[:-1] + bytes([48 + number % 10]) for number in range(count)]
    directory = bytes(data[first:entry]) + b"".join(names)
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, count + 1, count + 1, len(directory), first, 0)
    return bytes(data[:first]) + directory + end


def laughing(levels: int) -> bytes:
    """A tuple of ten times the tuple before, and so on: 10 to the power of ``levels`` values if anybody counts them."""
    ten = b"(" + b"h\0" * 10 + b"tq\0"
    return b"\x80\x02Nq\0" + ten * levels + b"."


def many_json_keys(count: int) -> bytes:
    return json.dumps({f"weight.{number}": "model.safetensors" for number in range(count)}).encode()


def trainer(state: bytes) -> dict[str, bytes]:
    return {
        "checkpoint-5/trainer_state.json": state,
        "checkpoint-5/model.safetensors": safetensors_file(),
    }


#: Name to the files of a checkpoint; the first path's top is what is checked.
CORPUS: dict[str, Callable[[], dict[str, bytes]]] = {
    "many memo entries": lambda: {"x.pt": torch_file(b"\x80\x04N" + b"\x94" * 30_000_000 + b".")},
    "memo indices far apart": lambda: {
        "x.pt": torch_file(
            b"\x80\x02N"
            + b"".join(b"r" + struct.pack("<I", n * 7919 % (1 << 32)) for n in range(590_000))
            + b"."
        )
    },
    "billion laughs": lambda: {"x.pt": torch_file(laughing(30))},
    "more laughs": lambda: {"x.pt": torch_file(laughing(20_000))},
    "overlapping members": lambda: {"x.pt": overlapping(10, MIB)},
    "many overlapping members": lambda: {"x.pt": overlapping(60_000, MIB)},
    "long member names": lambda: {
        "x.pt": zip_file([(f"a/{number:0>60000}", b"") for number in range(500)])
    },
    "path traversal": lambda: {
        "x.pt": zip_file([("a/data.pkl", GOOD_PICKLE), ("a/../../../etc/cron.d/x", b"x")])
    },
    "absolute member": lambda: {"x.pt": zip_file([("/etc/passwd", GOOD_PICKLE)])},
    "first member damaged, second evil": lambda: {
        "x.pt": zip_file(
            [("a/byteorder", b"little"), ("a/data.pkl", hostile(Path("x"))["os.system"])],
            crcs={"a/byteorder": 1},
        )
    },
    "local name differs": lambda: {
        "x.pt": zip_file(
            [("a/data.pkl", GOOD_PICKLE), ("a/data/0", GOOD_DATA)],
            local_names={"a/data.pkl": "a/evilpk"},
        )
    },
    "16 MiB of nested brackets": lambda: {
        "x.safetensors": safetensors_file(b'{"a":' + b"[" * (15 * MIB), b"")
    },
    "a number of a million digits": lambda: {
        "x.safetensors": safetensors_file(b'{"a":' + b"9" * MIB + b"}", b"")
    },
    "header beyond the file": lambda: {"x.safetensors": struct.pack("<Q", 1 << 62) + b"{}"},
    "a shape of 2^63": lambda: {
        "x.safetensors": safetensors_file(
            {"w": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 16]}}
        )
    },
    "an index of many tensors": lambda: {
        "m/model.safetensors.index.json": b'{"weight_map":' + many_json_keys(300_000) + b"}",
        "m/model.safetensors": safetensors_file(),
    },
    "an index that leaves the directory": lambda: {
        "m/model.safetensors.index.json": b'{"weight_map":{"w":"../../../../etc/passwd"}}',
        "m/model.safetensors": safetensors_file(),
    },
    "a state of nested brackets": lambda: trainer(b'{"global_step":' + b"[" * (15 * MIB)),
    "a state of many losses": lambda: trainer(
        b'{"global_step":5,"log_history":[' + b"0," * 1_400_000 + b"0]}"
    ),
    "a manifest of many files": lambda: {
        "step-00000042/manifest.json": manifest_text(
            {f"f{number}": b"" for number in range(100_000)}
        ).encode()
    },
    "a manifest that leaves the directory": lambda: {
        "step-00000042/manifest.json": manifest_text({"../../etc/passwd": b"x"}).encode()
    },
    "a pickle of 70 MB of text": lambda: {
        "x.pkl": b"\x80\x02X" + struct.pack("<I", 70 * MIB) + b"a" * 70 * MIB + b"."
    },
    "many empty files": lambda: {f"step-3/part-{number}.bin": b"" for number in range(3_000)},
}
UNSAFE = {"path traversal", "absolute member", "first member damaged, second evil"}
#: Large, but nothing is wrong with it.
HARMLESS = {"billion laughs", "more laughs", "a state of many losses"}


def looked_at(paths: list[Path]) -> Iterator[tuple[str, float, int, list[str], list[str]]]:
    command = [sys.executable, "-c", PROGRAM, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    for line in done.stdout.splitlines():
        verdict, seconds, peak, codes, happened = json.loads(line)
        yield verdict, seconds, peak, codes, happened


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, data)
    return folder / next(iter(files)).split("/")[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", CORPUS)
def test_a_hostile_checkpoint_runs_nothing_and_costs_little(tmp_path: Path, name: str) -> None:
    ((verdict, seconds, peak, codes, happened),) = looked_at([written(tmp_path, CORPUS[name]())])
    assert happened == []
    costs_little = (peak < MAX_PEAK_KIB, seconds < MAX_SECONDS)
    assert costs_little == (True, True), (peak, seconds, verdict, codes)
    assert not {"reader-defect"} & set(codes)
    if name in UNSAFE:
        assert verdict == "unsafe", codes
    elif name not in HARMLESS:
        assert verdict in ("invalid", "unsafe", "unknown"), codes


@pytest.mark.slow
def test_every_known_hostile_pickle_runs_nothing(tmp_path: Path) -> None:
    """All rows of the survey of scanners: each in a torch zip, bare, and with a wrong checksum."""
    paths = []
    for number, data in enumerate(hostile(tmp_path / "canary").values()):
        paths.append(write(tmp_path / f"{number}.pt", torch_file(data)))
        paths.append(write(tmp_path / f"{number}-crc.pt", torch_file(data, crcs={"a/data.pkl": 1})))
        paths.append(write(tmp_path / f"{number}.pkl", data))
    results = list(looked_at(paths))
    assert len(results) == len(paths) > 60
    for path, (verdict, seconds, peak, codes, happened) in zip(paths, results, strict=True):
        assert (path.name, verdict, happened) == (path.name, "unsafe", []), codes
        costs_little = (peak < MAX_PEAK_KIB, seconds < MAX_SECONDS)
        assert costs_little == (True, True), (path.name, peak, seconds)
    assert not (tmp_path / "canary").exists()


def test_the_watch_would_notice(tmp_path: Path) -> None:
    program = (
        PROGRAM
        + "\nimport os\nos.system('true')\nopen(os.devnull, 'w').close()\nprint(json.dumps(done))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert [event.split()[0] for event in json.loads(done.stdout)] == ["os.system", "open"]
