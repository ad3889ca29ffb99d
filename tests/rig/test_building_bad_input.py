"""A build that cannot succeed ends with one sentence and status 1, and leaves nothing that is used later."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.rig.building import build, programs
from tests.rig.cache import Cache
from tests.rig.tiny import ROOT, TinyRig, go_version, needs_go
from tests.support.signals import ignoring

#: Runs a command that sees a small disk at a folder; nobody else sees it.
ON_SMALL_DISK = ("unshare", "--mount", "--map-root-user", "sh", "-c")
MOUNT = 'mkdir -p "$1" && mount -t tmpfs -o "size=$2" tmpfs "$1" && shift 2 && exec "$@"'
ABSENT = "github.com/rogpeppe/absent v1.0.0"
#: Writes half a program and waits until somebody opens and closes the pipe.
BLOCKS = """for word; do [ "$last" = -o ] && into=$word; last=$word; done
echo half > $into/jobset
echo building > {folder}/began
cat {folder}/end
"""


@pytest.fixture
def tiny(tmp_path: Path) -> TinyRig:
    return TinyRig(tmp_path)


def refusal(tiny: TinyRig, ended: tuple[int, str]) -> str:
    """Return the one sentence that a failed build said."""
    status, said = ended
    assert (status, said.count("\n"), said[:10]) == (1, 1, "make rig: "), said
    assert tiny.left() == []
    assert programs(tiny.inputs()) is None
    return said


def test_no_go(tiny: TinyRig) -> None:
    said = refusal(tiny, tiny.main(PATH=str(tiny.folder)))
    assert "Go 1.24 or later builds the rig, and there is no `go` on PATH; get it from" in said


@pytest.mark.parametrize(
    "version", ["go version go1.23.12 linux/amd64", "go version go1.4 linux/arm"]
)
def test_an_old_go(tiny: TinyRig, version: str) -> None:
    old = tiny.fake_go("", version)
    assert (
        f"Go 1.24 or later builds the rig, and {old} is {version.split()[2]}; get it from"
        in refusal(tiny, tiny.main(old))
    )


def test_something_else_is_called_go(tiny: TinyRig) -> None:
    assert "said 'Baduk 3.1'; get it from" in refusal(
        tiny, tiny.main(tiny.fake_go("", "Baduk 3.1"))
    )


def test_a_new_development_version_of_go_will_do(tiny: TinyRig) -> None:
    said = refusal(
        tiny,
        tiny.main(tiny.fake_go("echo broken; exit 1", "go version devel go1.99-5f2b3 linux/amd64")),
    )
    assert said.endswith(f"building {tiny.family} failed: broken\n")


@needs_go
def test_no_network(tiny: TinyRig) -> None:
    with (tiny.family / "go.mod").open("a") as sources:
        sources.write(f"require {ABSENT}\n")
    (tiny.family / "jobset" / "main.go").write_text(
        f'package main\n\nimport _ "{ABSENT.split()[0]}"\n'
    )
    digest = f"h1:{'A' * 43}=\n"
    (tiny.family / "go.sum").write_text(f"{ABSENT} {digest}{ABSENT}/go.mod {digest}")
    said = refusal(
        tiny, tiny.main(GOPROXY="http://127.0.0.1:9", GOMODCACHE=str(tiny.folder / "go-mod"))
    )
    assert "Go cannot download a module" in said
    assert "127.0.0.1:9" in said
    assert "connect to the network" in said


@pytest.mark.parametrize(
    "words", ["write /tmp/x: no space left on device", "mkdir /x: disk quota exceeded"]
)
def test_a_disk_that_fills_up_while_go_compiles(tiny: TinyRig, words: str) -> None:
    full = tiny.fake_go(f'echo half > "$5/jobset"; echo compile: {words}; echo and more; exit 1')
    assert f"the disk is full: compile: {words}; make room" in refusal(tiny, tiny.main(full))


@needs_go
@pytest.mark.parametrize(
    ("size", "who"), [("256k", "building"), ("8m", "")], ids=["while linking", "while copying"]
)
def test_a_disk_that_is_too_small(tiny: TinyRig, size: str, who: str) -> None:
    crd = tiny.family / "config/components/crd/bases/jobsets.yaml"
    crd.write_bytes(bytes(8_000_000))
    command = [*ON_SMALL_DISK, MOUNT, "sh", str(tiny.cache), size]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        pytest.skip("needs the right to mount a small disk in a namespace of its own")
    done = subprocess.run([*command, *tiny.command()], cwd=ROOT, capture_output=True, text=True)
    said = refusal(tiny, (done.returncode, done.stderr))
    assert said.startswith(f"make rig: {who}")
    assert "space left on device" in said
    assert "make room" in said


def test_too_little_room_from_the_start(tiny: TinyRig) -> None:
    said = refusal(tiny, tiny.main(tiny.fake_go("exit 3"), needs=10**18))
    assert f"the disk of {tiny.folder}/go-build has " in said
    assert " MB free, and the rig needs 2000000003000 MB there; make room" in said


def test_a_cache_that_cannot_be_written(tiny: TinyRig) -> None:
    taken = tiny.folder / "taken"
    taken.write_text("a file, not a folder")
    said = refusal(tiny, tiny.main(tiny.fake_go("exit 3"), cache=taken / "cache"))
    assert f"{taken}/cache: Not a directory; name a folder that you may write to" in said
    assert taken.read_text() == "a file, not a folder"


@pytest.mark.slow
@needs_go
def test_sources_that_do_not_compile(tiny: TinyRig) -> None:
    (tiny.family / "jobset" / "main.go").write_text("package main\n\nfunc main() { nonsense }\n")
    assert "undefined: nonsense" in refusal(tiny, tiny.main())


@contextmanager
def blocked_build(tiny: TinyRig, version: str) -> Iterator[subprocess.Popen[str]]:
    """Start a build whose Go has written half a program and waits; in the end nothing of it runs any more."""
    for pipe in ("began", "end"):
        os.mkfifo(tiny.folder / pipe)
    command = tiny.command(tiny.fake_go(BLOCKS.format(folder=tiny.folder), version))
    with subprocess.Popen(
        ignoring([], command), cwd=ROOT, stderr=subprocess.PIPE, text=True
    ) as process:
        assert (tiny.folder / "began").read_text() == "building\n"
        try:
            yield process
        finally:
            process.kill()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupt(tiny: TinyRig, number: signal.Signals) -> None:
    with blocked_build(tiny, "go version go1.99.0 linux/amd64") as process:
        process.send_signal(number)
        said = process.communicate()[1]
    assert "interrupted; nothing half-built is kept, run `make rig` again" in refusal(
        tiny, (process.returncode, said)
    )
    with Cache(tiny.cache).lock(print):
        pass  # would wait for ever if anything of the compiler were still running


@pytest.mark.slow
@needs_go
def test_a_killed_build_is_waited_out_and_nothing_of_it_is_used(tiny: TinyRig) -> None:
    version = go_version()
    with blocked_build(tiny, version) as process:
        process.kill()
        process.wait()
        assert tiny.left() == ["unfinished"]
        assert programs(tiny.inputs()) is None
        second = subprocess.Popen(tiny.command(), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert second.stdout
        assert "waiting" in second.stdout.readline()
        (tiny.folder / "end").write_text("")
        assert second.wait() == 0
    assert tiny.left() == [build(tiny.inputs()).folder.name]
    assert build(tiny.inputs()).path("jobset").stat().st_size > len("half\n")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("required", "status", "told"),
    [("0", 0, "SKIPPED [1] test_it.py:3"), ("1", 1, "ERROR test_it.py::test_it")],
)
def test_without_the_rig_a_test_is_skipped_by_name_or_fails_where_ci_requires_it(
    tmp_path: Path, required: str, status: int, told: str
) -> None:
    (tmp_path / "conftest.py").write_text("from tests.rig.needed import pytest_runtest_setup\n")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = rig\n")
    (tmp_path / "test_it.py").write_text(
        "import pytest\n\n@pytest.mark.rig\ndef test_it(): 1 / 0\n"
    )
    env = {
        **os.environ,
        "RUNAI_RIG_CACHE": str(tmp_path),
        "RUNAI_REQUIRE_RIG": required,
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "pytest", "-ra", "-p", "no:cacheprovider", "."]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == status
    assert told in done.stdout
    assert "the rig is not built: run `make rig`" in done.stdout
