"""Checkpoints on a real S3 server: the same verdicts as on disk, each byte fetched once, or not at all."""

from __future__ import annotations

import hashlib
import random
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import (
    Policy,
    Report,
    RootProblem,
    Verdict,
    candidates,
    check,
    select,
)
from tests.checkpoints.object_store import (
    LOGIN,
    SECRET,
    Wire,
    needs_server,
    running_store,
    s3,
    s3_options,
    wired,
)
from tests.checkpoints.samples import GOLDEN, manifest_text, publish, safetensors_file, torch_file
from tests.support.patience import PATIENCE

upath = pytest.importorskip("upath")
pytest.importorskip("s3fs")
pytestmark = [pytest.mark.slow, needs_server]
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """Return the port of an S3 server with an empty bucket ``runs``."""
    with running_store(tmp_path_factory.mktemp("store")) as port:
        s3(port).mkdir("runs")
        yield port


@pytest.fixture
def wire(store: int) -> Iterator[Wire]:
    with wired(store) as wire:
        yield wire


@pytest.fixture
def bucket(store: int, request: pytest.FixtureRequest) -> Any:
    """Return a folder of its own for each test, reached without the wire."""
    return upath.UPath(
        f"s3://runs/{request.node.name}", **s3_options(store, skip_instance_cache=False)
    )


def seen_through(wire: Wire, path: Any, **more: Any) -> Any:
    """The same place, as somebody sees it who has never listed it, at the far end of the wire."""
    return upath.UPath(f"s3://{path.path}", **s3_options(wire.port, **more))


def upload(local: Path, to: Any) -> Any:
    for file in sorted(local.rglob("*")):
        if file.is_file():
            to.joinpath(local.name, file.relative_to(local).as_posix()).write_bytes(
                file.read_bytes()
            )
    return to / local.name


def numbers(size: int, seed: int = 1) -> bytes:
    header = {"w": {"dtype": "BF16", "shape": [size // 2], "data_offsets": [0, size]}}
    # 0x3f in every high byte: no number among them is infinite
    data = bytearray(b"\x3f" * size)
    data[::2] = random.Random(seed).randbytes(size // 2)
    return safetensors_file(header, bytes(data))


def told(report: Report) -> tuple[Any, ...]:
    codes = [finding.code for finding in report.findings]
    return (
        report.verdict,
        report.format,
        report.step,
        report.digest,
        report.bytes,
        report.tensors,
        codes,
    )


def test_s3_gets_the_verdicts_of_the_disk(tmp_path: Path, bucket: Any) -> None:
    good = {
        "model.safetensors": safetensors_file(),
        "notes.dat": b"x" * 70_000,
        "sub/a.txt": b"hello",
    }
    torn = publish(tmp_path, 43, good)
    (torn / "notes.dat").write_bytes(b"y" * 70_000)
    for folder in (publish(tmp_path, 42, good), torn):
        there = upload(folder, bucket)
        assert [told(check(there, level=level)) for level in range(4)] == [
            told(check(folder, level=level)) for level in range(4)
        ]
    selection = select(bucket)
    assert selection.chosen is not None
    assert (selection.chosen.step, [report.step for report in selection.rejected]) == (42, [43])


@pytest.mark.parametrize(
    "name", ["state.pt", "deflated.pt", "nan.pt", "epoch=0-step=4.ckpt", "model.safetensors"]
)
def test_files_of_the_real_libraries_look_the_same_there(bucket: Any, name: str) -> None:
    (bucket / name).write_bytes((GOLDEN / name).read_bytes())
    assert told(check(bucket / name)) == told(check(GOLDEN / name))


def test_every_byte_is_fetched_once(bucket: Any, wire: Wire) -> None:
    data = numbers(21 * MIB)
    (bucket / "big.safetensors").write_bytes(data)
    report = check(seen_through(wire, bucket / "big.safetensors"))
    assert (report.verdict, [finding.code for finding in report.findings]) == (
        Verdict.UNVERIFIABLE,
        ["safetensors-no-checksum"],
    )
    # Beside the data: the head for its structure, the tail for its zeros, and a few KB of HTTP
    # headers.
    assert len(data) < wire.received < len(data) + 3 * 64 * 1024


def test_structure_costs_a_block_and_not_the_file(bucket: Any, wire: Wire) -> None:
    (bucket / "big.safetensors").write_bytes(numbers(9 * MIB))
    check(seen_through(wire, bucket / "big.safetensors"), level=1)
    assert wire.received < 2 * 64 * 1024


def test_what_the_store_has_summed_is_not_downloaded(
    tmp_path: Path, bucket: Any, wire: Wire
) -> None:
    content = {f"model-{number}.safetensors": numbers(4 * MIB, number) for number in range(3)}
    there = upload(publish(tmp_path, 8, content), bucket)
    report = check(seen_through(wire, there), level=2)
    assert (report.verdict, report.findings) == (Verdict.VALID, ())
    assert wire.received < MIB
    downloaded = check(seen_through(wire, there), level=3)
    assert (downloaded.digest, downloaded.verdict) == (report.digest, Verdict.VALID)
    assert wire.received > 12 * MIB


def test_a_store_that_has_summed_other_bytes_is_not_believed(tmp_path: Path, bucket: Any) -> None:
    folder = publish(tmp_path, 8, {"model.safetensors": numbers(MIB)})
    (folder / "model.safetensors").write_bytes(numbers(MIB, seed=2))
    report = check(upload(folder, bucket), level=2)
    assert [finding.code for finding in report.findings] == ["manifest-mismatch"]


@pytest.mark.parametrize("kind", ["md5", "crc32c"])
def test_an_md5_of_the_manifest_is_compared_with_the_etag(
    tmp_path: Path, bucket: Any, wire: Wire, kind: str
) -> None:
    data = b"x" * (2 * MIB)
    entry = {"path": "blob.txt", "size": len(data), "crc32": f"{zlib.crc32(data):08x}"}
    entry[kind] = hashlib.md5(data).hexdigest() if kind == "md5" else "00000000"
    folder = publish(tmp_path, 3, {"blob.txt": data}, files=[entry])
    there = upload(folder, bucket)
    system = there.fs
    system.call_s3(
        "put_object", Bucket="runs", Key=there.path.partition("/")[2] + "/blob.txt", Body=data
    )
    assert check(seen_through(wire, there), level=2).verdict is Verdict.VALID
    assert wire.received < MIB


def test_a_sum_of_sums_is_not_taken_for_one_of_the_bytes(
    tmp_path: Path, bucket: Any, wire: Wire
) -> None:
    """An object that was uploaded in parts."""
    data = numbers(12 * MIB)
    folder = publish(tmp_path, 3, {"model.safetensors": data})
    there = upload(folder, bucket)
    with there.fs.open(there.path + "/model.safetensors", "wb", block_size=5 * MIB) as file:
        for begin in range(0, len(data), MIB):
            file.write(data[begin : begin + MIB])
    assert check(seen_through(wire, there), level=2).verdict is Verdict.VALID
    assert wire.received > 12 * MIB


def test_a_store_that_stops_answering_in_the_middle_is_unknown(bucket: Any, wire: Wire) -> None:
    (bucket / "step-5.safetensors").write_bytes(numbers(9 * MIB))
    wire.hold_after = 5 * MIB
    impatient = {"connect_timeout": 1, "read_timeout": 1, "retries": {"max_attempts": 0}}
    there = seen_through(wire, bucket / "step-5.safetensors", config_kwargs=impatient)
    there.fs.retries = 1
    report = check(there)
    assert report.verdict is Verdict.UNKNOWN
    assert "unreadable" in [finding.code for finding in report.findings]
    assert SECRET not in str(report)


def test_wrong_credentials_are_unknown_and_not_repeated(bucket: Any, store: int) -> None:
    (bucket / "x.pt").write_bytes(torch_file())
    stranger = upath.UPath(f"s3://{bucket.path}/x.pt", **s3_options(store, secret="not-the-secret"))
    report = check(stranger)
    assert (report.verdict, "not-the-secret" in str(report)) == (Verdict.UNKNOWN, False)


def test_a_checkpoint_that_is_replaced_meanwhile_is_in_progress(bucket: Any) -> None:
    """The listing before and the listing after are both asked of the store, not of what fsspec remembers."""
    path = bucket / "x.safetensors"
    path.write_bytes(numbers(2 * MIB))
    other = s3(int(bucket.fs.endpoint_url.rpartition(":")[2]))
    replaced = threading.Event()

    def replace(read: int) -> None:
        if read > MIB and not replaced.is_set():
            replaced.set()
            other.pipe_file(path.path, numbers(2 * MIB + 2))

    assert check(path, progress=replace).verdict is Verdict.IN_PROGRESS


def test_airflow_reads_it_with_the_credentials_of_a_connection(
    bucket: Any, store: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("airflow.providers.amazon.aws.fs.s3")
    from airflow_runai.tasks.locations import location

    (bucket / "step-7.pt").write_bytes(torch_file())
    extra = f'{{"endpoint_url": "http://127.0.0.1:{store}", "region_name": "us-east-1"}}'
    connection = (
        f'{{"conn_type": "aws", "login": "{LOGIN}", "password": "{SECRET}", "extra": {extra}}}'
    )
    monkeypatch.setenv("AIRFLOW_CONN_STORE", connection)
    root = location("/mnt/runs", {"/mnt/runs": f"s3://{bucket.path}"}, "store")
    (candidate,) = candidates(root)
    assert (candidate.step, check(candidate.path).verdict) == (7, Verdict.VALID)


def test_an_attached_file_system_is_read_through_airflows_path(bucket: Any, store: int) -> None:
    from airflow.sdk import ObjectStoragePath
    from airflow.sdk.io import attach

    (bucket / "step-7.pt").write_bytes(torch_file())
    attach("s3", conn_id="attached", fs=s3(store))
    (candidate,) = candidates(ObjectStoragePath(f"s3://attached@{bucket.path}"))
    assert (candidate.step, check(candidate.path).verdict) == (7, Verdict.VALID)


@pytest.mark.parametrize("count", [4, 1100])
def test_a_prefix_with_more_than_the_limit_is_not_listed_to_its_end(
    bucket: Any, wire: Wire, count: int
) -> None:
    places = {f"{bucket.path}/run/step-{number}.pt": b"x" for number in range(count)}
    bucket.fs.pipe(places)
    there = seen_through(wire, bucket / "run")
    with pytest.raises(RootProblem, match="more than 3 entries"):
        candidates(there, policy=Policy(entry_limit=3))
    assert check(there, policy=Policy(entry_limit=3)).findings[0].code == "too-many-entries"
    assert wire.received < 20_000
    if count == 1100:
        assert len(candidates(there)) == count
        with pytest.raises(RootProblem, match="more than 1099 entries"):
            candidates(there, policy=Policy(entry_limit=1099))


class Meeting:
    """A store in which two requests must be under way before either is answered."""

    protocol = "meeting"

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.together = threading.Barrier(2, timeout=PATIENCE)
        self.fetched: list[tuple[str, int, int]] = []

    def invalidate_cache(self) -> None:
        pass

    def cat_file(self, path: str, start: int, end: int) -> bytes:
        self.fetched.append((path, start, end))
        if path.endswith(".safetensors"):
            self.together.wait()
        return self.files[path][start:end]


class Place:
    """As much of a path as is used."""

    def __init__(self, fs: Meeting, path: str) -> None:
        self.fs, self.path, self.name = fs, path, path.rpartition("/")[2]

    def iterdir(self) -> Iterator[Place]:
        return (Place(self.fs, path) for path in self.fs.files)

    def stat(self) -> Any:
        from types import SimpleNamespace

        found = self.fs.files.get(self.path)
        return SimpleNamespace(
            st_mode=0o040000 if found is None else 0o100000, st_size=len(found or b""), st_mtime=1.0
        )

    def open(self, mode: str) -> Any:
        raise NotImplementedError("an object is fetched by ranges")


def test_shards_are_read_side_by_side_and_each_range_once() -> None:
    files = {f"run/model-{number}.safetensors": numbers(40_000, number) for number in range(4)}
    content = {path.partition("/")[2]: data for path, data in files.items()}
    files["run/manifest.json"] = manifest_text(content, step=1).encode()
    system = Meeting(files)
    report = check(Place(system, "run"))
    assert (report.verdict, len(report.digest or "")) == (Verdict.VALID, 71)
    shards = [fetched for fetched in system.fetched if fetched[0].endswith(".safetensors")]
    assert len(shards) == len(set(shards)) == 4
