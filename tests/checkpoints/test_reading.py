from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any

import pytest

from airflow_runai.checkpoints import Policy, Verdict, check, select
from airflow_runai.checkpoints.checking.reader import unreadable
from tests.checkpoints.samples import GOLDEN, publish, safetensors_file, torch_file, write


class Faulty:
    """A storage of one file whose stat or open fails, or whose content changes while it is read."""

    def __init__(
        self, name: str, data: bytes, *, error: Exception | None = None, grows: bool = False
    ) -> None:
        self.name, self.data, self.error, self.grows = name, data, error, grows
        self.reads: list[int] = []
        self.looks = 0

    def __str__(self) -> str:
        return f"s3://bucket/{self.name}"

    def stat(self) -> Any:
        self.looks += 1
        return SimpleNamespace(
            st_mode=0o100600, st_size=len(self.data), st_mtime=self.looks if self.grows else 1
        )

    def iterdir(self) -> Iterator[Any]:
        raise NotADirectoryError(self.name)

    def open(self, mode: str) -> IO[Any]:
        assert mode == "rb"
        if self.error is not None:
            raise self.error
        return _Counting(self.data, self.reads)


class _Counting(BytesIO):
    def __init__(self, data: bytes, reads: list[int]) -> None:
        super().__init__(data)
        self._reads = reads

    def readinto(self, buffer: Any) -> int:
        count = super().readinto(buffer)
        self._reads.append(count)
        return count


@pytest.mark.parametrize(
    "error",
    [
        PermissionError(errno.EACCES, "Permission denied"),
        TimeoutError("timed out"),
        OSError(errno.EIO, "Input/output error"),
        RuntimeError("botocore: SlowDown"),
    ],
)
def test_what_cannot_be_read_is_unknown_never_invalid(error: Exception) -> None:
    report = check(Faulty("x.pt", torch_file(), error=error))
    assert (report.verdict, [finding.code for finding in report.findings]) == (
        Verdict.UNKNOWN,
        ["unreadable"],
    )
    assert type(error).__name__ in report.findings[0].message


def test_signed_addresses_do_not_leak_into_findings() -> None:
    error = OSError("403 for https://key:secret@host/bucket/x.pt?X-Amz-Signature=secret&y=1")
    message = check(Faulty("x.pt", torch_file(), error=error)).findings[0].message
    assert "secret" not in message
    assert "403 for https://" in message


@pytest.mark.slow
@pytest.mark.skipif(
    os.geteuid() == 0 and shutil.which("setpriv") is None, reason="root may read everything"
)
def test_a_file_of_another_user_with_mode_0600_is_unknown(tmp_path: Path) -> None:
    path = write(tmp_path / "model.safetensors", safetensors_file())
    path.chmod(0o000)
    for folder in (tmp_path, *tmp_path.parents[:2]):
        folder.chmod(0o755)
    command = [sys.executable, "-m", "airflow_runai.checkpoints", "check", str(path)]
    drop = (
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    )
    done = subprocess.run(
        [*drop, *command], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    if any(
        words in done.stderr
        for words in ("can't open", "Permission denied", "cannot open shared object")
    ):
        pytest.skip("the interpreter itself is not readable for another user")
    assert '"verdict": "unknown"' in done.stdout, done.stderr


def test_a_file_that_changes_while_it_is_read_is_in_progress() -> None:
    assert check(Faulty("x.pt", torch_file(), grows=True)).verdict is Verdict.IN_PROGRESS


def test_the_pass_reads_every_byte_once() -> None:
    header = b'{"w":{"dtype":"F32","shape":[256000],"data_offsets":[0,1024000]}}'
    file = Faulty("x.safetensors", safetensors_file(header, b"\1\2\3\4" * 256_000))
    assert check(file).verdict is Verdict.UNVERIFIABLE
    assert sum(file.reads) == len(file.data)
    assert max(file.reads) <= 512 * 1024


def test_progress_is_told_and_never_goes_back(tmp_path: Path) -> None:
    told: list[int] = []
    report = check(write(tmp_path / "x.pt", torch_file()), progress=told.append)
    assert told == sorted(told)
    assert told[-1] >= report.bytes


@pytest.mark.parametrize("name", [".tmp-step-00000001-0-ab", "step-3.tmp", ".trash-step-00000001"])
def test_a_temporary_name_is_in_progress(tmp_path: Path, name: str) -> None:
    folder = publish(tmp_path).rename(tmp_path / name)
    assert check(folder).verdict is Verdict.IN_PROGRESS


def test_fifos_and_devices_are_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.pt")
    folder = publish(tmp_path, 1)
    os.mkfifo(folder / "pipe")
    for path in (tmp_path / "x.pt", folder, Path("/dev/zero")):
        assert [finding.code for finding in check(path).findings] == ["special-file"]


def test_links_in_a_circle_are_refused(tmp_path: Path) -> None:
    (tmp_path / "a.pt").symlink_to(tmp_path / "b.pt")
    (tmp_path / "b.pt").symlink_to(tmp_path / "a.pt")
    assert [finding.code for finding in check(tmp_path / "a.pt").findings] == ["link-loop"]
    folder = publish(tmp_path, 1)
    (folder / "again").symlink_to(folder)
    assert [finding.code for finding in check(folder).findings] == ["link"]


def test_what_is_not_there_is_missing(tmp_path: Path) -> None:
    report = check(tmp_path / "nothing")
    assert (report.verdict, report.findings[0].code) == (Verdict.INVALID, "missing")


def test_an_unknown_or_empty_thing_is_refused_with_advice(tmp_path: Path) -> None:
    (tmp_path / "checkpoint-8").mkdir()
    empty, text = check(tmp_path / "checkpoint-8"), check(write(tmp_path / "notes.txt", b"hello"))
    assert [finding.code for finding in (*empty.findings, *text.findings)] == [
        "empty-directory",
        "format-unknown",
    ]
    assert "safetensors" in text.findings[0].message


def test_a_directory_beyond_the_limit_is_unknown_and_says_so(tmp_path: Path) -> None:
    folder = publish(tmp_path, 1, {f"part{number}.txt": b"" for number in range(20)})
    report = check(folder, policy=Policy(entry_limit=10))
    assert (report.verdict, report.findings[0].code) == (Verdict.UNKNOWN, "too-many-entries")


def test_a_level_that_does_not_exist_is_misuse(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="0 \\(listing\\)"):
        check(tmp_path, level=4)


def test_object_storage_is_read_like_a_file_system() -> None:
    upath = pytest.importorskip("upath")
    root = upath.UPath("memory://checkpoints/run")
    for source in (GOLDEN / "state.pt", GOLDEN / "nan.pt"):
        (root / f"step-{4 if source.name == 'state.pt' else 5}.pt").write_bytes(source.read_bytes())
    selection = select(root)
    assert selection.chosen is not None
    assert selection.chosen.path.endswith("step-4.pt")
    assert [report.verdict for report in selection.rejected] == [Verdict.POISONED]


def test_a_directory_on_object_storage_is_read_like_one_on_disk(tmp_path: Path) -> None:
    upath = pytest.importorskip("upath")
    local = publish(tmp_path, 3, {"model.safetensors": safetensors_file(), "sub/a.txt": b"x"})
    root = upath.UPath("memory://published/step-00000003")
    for name in ("model.safetensors", "sub/a.txt", "manifest.json"):
        (root / name).write_bytes((local / name).read_bytes())
    there, here = check(root), check(local)
    assert (there.verdict, there.digest, there.step) == (Verdict.VALID, here.digest, 3)


def test_a_storage_whose_library_is_missing_is_told_from_one_that_refuses() -> None:
    missing = unreadable(ImportError("Please install gcsfs to access Google Storage"))
    assert "install gcsfs" in missing
    assert missing.endswith("; install what is missing where Airflow runs this")
    assert "let the user that runs this read it" in unreadable(PermissionError(13, "denied"))
