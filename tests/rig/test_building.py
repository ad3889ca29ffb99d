"""What `make rig` leaves in its cache, when it builds again, and what it never uses."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.rig.building import build, programs
from tests.rig.cache import Cache
from tests.rig.go import Go
from tests.rig.tiny import ROOT, TinyRig, needs_go

pytestmark = needs_go
NEWER = "go version go1.99.0 linux/amd64"


@pytest.fixture
def tiny(tmp_path: Path) -> TinyRig:
    return TinyRig(tmp_path)


def says(program: Path) -> str:
    """Return what a built program prints."""
    return subprocess.run([program], capture_output=True, text=True, check=True).stderr


def test_programs_and_manifests_lie_under_the_names_that_people_know(tiny: TinyRig) -> None:
    built = build(tiny.inputs())
    assert says(built.path("jobset")) == "jobset"
    assert says(built.path("etcd")) == "server"
    assert [crd.read_text() for crd in built.crds("jobset")] == ["kind: CustomResourceDefinition\n"]
    assert built.webhooks("jobset").read_text() == "kind: ValidatingWebhookConfiguration\n"
    assert tiny.left() == [built.folder.name]


def test_what_is_not_there_is_named_beside_what_is(tiny: TinyRig) -> None:
    built = build(tiny.inputs())
    with pytest.raises(LookupError, match=r"no kubelet in .*; it has etcd, jobset"):
        built.path("kubelet")


def test_a_second_build_compiles_nothing(tiny: TinyRig, capsys: pytest.CaptureFixture[str]) -> None:
    built = build(tiny.inputs())
    (tiny.family / "jobset" / "main.go").write_text("this would not compile")
    capsys.readouterr()
    assert build(tiny.inputs()) == built
    assert capsys.readouterr().out.startswith(f"rig: ready: {built.folder}")


def flip_a_byte(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a program is cut off": lambda folder: os.truncate(folder / "bin/jobset", 1000),
    "a program has another byte": lambda folder: flip_a_byte(folder / "bin/jobset"),
    "a program cannot be run": lambda folder: (folder / "bin/jobset").chmod(0o644),
    "a program is gone": lambda folder: (folder / "bin/jobset").unlink(),
    "a manifest is gone": lambda folder: (folder / "manifests/jobset/webhooks.yaml").unlink(),
    "the index is gone": lambda folder: (folder / "index.json").unlink(),
    "the index is cut off": lambda folder: os.truncate(folder / "index.json", 40),
    "the index is empty": lambda folder: (folder / "index.json").write_text("{}"),
    "the index is another thing": lambda folder: (folder / "index.json").write_text(
        '["bin/jobset"]'
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_broken_result_is_built_again_and_never_used(tiny: TinyRig, damage: str) -> None:
    built = build(tiny.inputs())
    DAMAGES[damage](built.folder)
    assert programs(tiny.inputs()) is None
    assert says(build(tiny.inputs()).path("jobset")) == "jobset"
    assert tiny.left() == [built.folder.name]


def test_a_result_that_was_copied_here_is_used(tiny: TinyRig) -> None:
    built = build(tiny.inputs())
    os.utime(built.path("jobset"), (1, 1))
    assert programs(tiny.inputs()) == built


def test_other_sources_are_built_and_the_old_result_goes(
    tiny: TinyRig, capsys: pytest.CaptureFixture[str]
) -> None:
    old = build(tiny.inputs())
    (tiny.cache / "something of yours").mkdir()
    with (tiny.family / "go.mod").open("a") as sources:
        sources.write("\n// another version\n")
    assert programs(tiny.inputs()) is None
    new = build(tiny.inputs())
    assert tiny.left() == sorted([new.folder.name, "something of yours"])
    assert (
        f"removed what other sources or another Go had built: {old.folder}\n"
        in capsys.readouterr().out
    )


def test_another_go_builds_anew(tiny: TinyRig) -> None:
    build(tiny.inputs())
    assert programs(tiny.inputs(tiny.fake_go("", NEWER))) is None


@pytest.mark.parametrize(
    "version", [None, "go version go1.19.8 linux/amd64"], ids=["no Go", "an old Go"]
)
def test_a_machine_that_cannot_build_uses_what_another_built(
    tiny: TinyRig, version: str | None
) -> None:
    built = build(tiny.inputs())
    go = tiny.fake_go("", version) if version else "no-such-go"
    assert programs(tiny.inputs(go)) == built
    assert tiny.main(go) == (0, "")


def test_two_builds_at_once_build_one_after_the_other(tiny: TinyRig) -> None:
    with Cache(tiny.cache).lock(print):
        process = subprocess.Popen(tiny.command(), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        assert (
            process.stdout.readline()
            == f"rig: waiting: another build of the rig writes to {tiny.cache}\n"
        )
        assert tiny.left() == []
    said, _ = process.communicate()
    assert process.returncode == 0
    assert "rig: jobset: built" in said


def test_the_second_of_two_builds_takes_what_the_first_built(tiny: TinyRig) -> None:
    with Cache(tiny.cache).lock(print):
        process = subprocess.Popen(tiny.command(), cwd=ROOT, stdout=subprocess.PIPE, text=True)
        assert process.stdout
        process.stdout.readline()
        elsewhere = TinyRig(tiny.folder / "elsewhere")
        built = build(elsewhere.inputs()).folder
        built.rename(tiny.cache / built.name)
    said, _ = process.communicate()
    assert said.startswith("rig: ready: ")


def test_a_long_build_gives_signs_of_life(tiny: TinyRig) -> None:
    os.mkfifo(tiny.folder / "go-on")
    said: list[str] = []

    def heard(text: str) -> None:
        said.append(text)
        if len(said) == 2:
            (tiny.folder / "go-on").write_text("")

    go = Go(str(tiny.fake_go(f"cat {tiny.folder}/go-on")), NEWER, heartbeat=0.01)
    with Cache(tiny.cache).lock(print) as lock:
        go.build(tiny.family, tiny.folder, "", lock, heard)
    assert said[0].startswith("jobset: building, 0 s")
