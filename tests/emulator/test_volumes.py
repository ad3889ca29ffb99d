"""Container paths: which directory stands for a mount, and what is rewritten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from airflow_runai.emulator.volumes import Places, mounts

SHARED, LOCAL = Path("/s"), Path("/l")


def places(storage: dict[str, Any], mapped: dict[str, str] | None = None) -> Places:
    known = {key: Path(value) for key, value in (mapped or {}).items()}
    return Places(mounts({"storage": storage}, "w"), known, SHARED, LOCAL)


MYDIR = {"nfs": [{"server": "nfs.x", "path": "/nfs/john", "mountPath": "/mydir"}]}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/mydir", "/D"),
        ("/mydir/", "/D/"),
        ("/mydir/a b", "/D/a b"),
        ("--out=/mydir/x", "--out=/D/x"),
        ("/mydir:/other:/mydir/lib", "/D:/other:/D/lib"),
        ("a,/mydir,b", "a,/D,b"),
        ("/mydirectory", "/mydirectory"),
        ("x/mydir", "x/mydir"),
        ("file:///mydir/x", "file:///mydir/x"),
        ("see /mydir", "see /mydir"),
        ("", ""),
    ],
)
def test_only_paths_that_begin_with_a_mount_are_rewritten(text: str, expected: str) -> None:
    assert places(MYDIR, {"/nfs/john": "/D"}).value(text) == expected


def test_text_of_a_shell_is_rewritten_wherever_a_path_can_begin() -> None:
    translated = places(MYDIR, {"/nfs/john": "/D"})
    argv = ["bash", "-ec", "cd /mydir && ./x > '/mydir/log' ; ls /mydirs", "/mydir in $0"]
    assert translated.arguments(argv) == [
        "bash",
        "-ec",
        "cd /D && ./x > '/D/log' ; ls /mydirs",
        "/mydir in $0",
    ]


@pytest.mark.parametrize("key", ["/nfs/john", "nfs.x:/nfs/john", "/mydir"])
def test_volume_is_mapped_by_source_server_or_container_path(key: str) -> None:
    assert places(MYDIR, {key: "/D"}).value("/mydir/x") == "/D/x"


def test_mapped_parent_carries_its_children() -> None:
    assert places(MYDIR, {"/nfs": "/D"}).value("/mydir/x") == "/D/john/x"


def test_unmapped_volume_lives_in_the_state() -> None:
    assert places(MYDIR).value("/mydir") == "/s/nfs/john"
    assert places({"pvc": [{"claimName": "claim", "path": "/c"}]}).value("/c") == "/s/claim"


def test_empty_dir_is_local_to_the_node() -> None:
    assert (
        places({"emptyDirVolume": [{"path": "/scratch"}]}).value("/scratch/x")
        == "/l/volumes/scratch/x"
    )


def test_source_cannot_climb_out_of_the_state() -> None:
    climbing = {"hostPath": [{"path": "/../../etc", "mountPath": "/e"}]}
    assert places(climbing).value("/e") == "/s/etc"


def test_longest_mount_wins() -> None:
    nested = {"pvc": [{"claimName": "a", "path": "/d"}, {"claimName": "b", "path": "/d/e"}]}
    assert places(nested).value("/d/e/f:/d/g") == "/s/b/f:/s/a/g"


@pytest.mark.parametrize(
    ("working_dir", "expected"),
    [
        (None, "/l"),
        ("/mydir/", "/D"),
        ("/mydir/sub", "/D/sub"),
        ("/workspace", "/l/workspace"),
        ("code", "/l/code"),
    ],
)
def test_working_directory(working_dir: str | None, expected: str) -> None:
    assert places(MYDIR, {"/nfs/john": "/D"}).working_directory(working_dir) == Path(expected)


def test_mount_that_is_mapped_to_its_own_path_stays() -> None:
    same = places(MYDIR, {"/nfs/john": "/mydir"})
    assert same.working_directory("/mydir/x") == Path("/mydir/x")


def test_a_mount_of_the_root_is_left_alone() -> None:
    assert (
        places({"hostPath": [{"path": "/x", "mountPath": "/"}]}).value("/etc/passwd")
        == "/etc/passwd"
    )
