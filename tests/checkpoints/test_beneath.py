"""One way below a root: every name, every kind of thing and every link, for reading, writing, renaming and removing."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_runai.checkpoints.storage.directory_handle import Folder, WrongKind

SECRET = b"the key of a service account"


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "secret").write_bytes(SECRET)
    return tmp_path / "outside"


@pytest.fixture
def folder(tmp_path: Path, outside: Path) -> Iterator[Folder]:
    (tmp_path / "root").mkdir()
    with Folder.at(tmp_path / "root") as opened:
        yield opened


Act = Callable[[Folder, str], object]
ACTS: dict[str, Act] = {
    "enter": lambda folder, name: folder.enter(name),
    "enter or make": lambda folder, name: folder.enter(name, make=True),
    "make": lambda folder, name: folder.make(name),
    "kind": lambda folder, name: folder.kind(name),
    "read": lambda folder, name: folder.read(name, 100),
    "write": lambda folder, name: folder.write(name, b"x"),
    "replace": lambda folder, name: folder.replace(name, b"x"),
    "move": lambda folder, name: folder.move(name, folder),
    "remove": lambda folder, name: folder.remove(name),
    "clear": lambda folder, name: folder.clear(name),
    "drop": lambda folder, name: folder.drop(name),
}
NO_NAMES = [
    "",
    ".",
    "..",
    "/",
    "a/b",
    "../outside/secret",
    "/etc/passwd",
    "a\0b",
    "\0",
    "\ud83d",
    "..\0",
    "x/..",
]


@pytest.mark.parametrize("name", NO_NAMES)
@pytest.mark.parametrize("act", ACTS)
def test_what_is_no_single_name_reaches_nothing(
    folder: Folder, outside: Path, act: str, name: str
) -> None:
    with pytest.raises(WrongKind, match=r"/root: '.*' is no name of something in it"):
        ACTS[act](folder, name)
    assert list(folder.names()) == []
    assert (outside / "secret").read_bytes() == SECRET


@pytest.mark.parametrize("act", ACTS)
def test_a_name_that_is_too_long_is_an_error_of_the_storage(folder: Folder, act: str) -> None:
    with pytest.raises(OSError, match="File name too long"):
        ACTS[act](folder, "x" * 300)
    assert list(folder.names()) == []


ODD_NAMES = ["..x", "...", " ", "a b", "é", "\n", "\udcff", "*", "-rf", "~", "x" * 255, "\u202egpj"]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_whatever_else_can_be_a_name_is_one(folder: Folder, name: str) -> None:
    folder.replace(name, b"old")
    folder.replace(name, b"new")
    assert (folder.read(name, 10), list(folder.names()), folder.kind(name)) == (
        b"new",
        [name],
        "file",
    )
    folder.remove(name)
    with folder.enter(name, make=True) as inner:
        inner.write(name, b"x")
    folder.clear(name)
    assert folder.kind(name) is None


TARGETS = {
    "link to nothing": "nowhere",
    "link to itself": "it",
    "link to a device": "/dev/zero",
    "link up": "..",
}


def laid_out(folder: Folder, outside: Path, kind: str) -> None:
    place = folder.path / "it"
    if kind == "fifo":
        os.mkfifo(place)
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as server, Folder.at(folder.path) as here:
            server.bind(f"/proc/self/fd/{here._handle}/it")
    elif kind == "directory":
        place.mkdir()
    else:
        place.symlink_to(
            str(outside / "secret") if kind == "link to a file" else TARGETS.get(kind, str(outside))
        )


LINKS = [
    f"link {to}"
    for to in ("to a file", "to a directory", "to nothing", "to itself", "to a device", "up")
]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["fifo", "socket", "directory", *LINKS])
def test_only_a_file_is_read_and_nothing_hangs(folder: Folder, outside: Path, kind: str) -> None:
    laid_out(folder, outside, kind)
    with pytest.raises(
        WrongKind, match=rf"/root/it: is a {kind.split()[0]}; .*put the file itself there"
    ) as caught:
        folder.read("it", 100)
    assert ("links are not followed" in str(caught.value)) is kind.startswith("link")


@pytest.mark.parametrize("kind", ["fifo", "socket", "file", *LINKS])
@pytest.mark.parametrize("make", [False, True])
def test_only_a_directory_is_entered(folder: Folder, outside: Path, kind: str, make: bool) -> None:
    if kind == "file":
        folder.write("it", b"")
    else:
        laid_out(folder, outside, kind)
    with pytest.raises(
        WrongKind, match=rf"/root/it: is a {kind.split()[0]}; .*put the directory itself there"
    ):
        folder.enter("it", make=make)


@pytest.mark.parametrize("kind", LINKS)
def test_a_link_is_replaced_moved_and_removed_as_the_link_that_it_is(
    folder: Folder, outside: Path, kind: str
) -> None:
    for act in ("replace", "remove", "clear", "move"):
        laid_out(folder, outside, kind)
        if act == "move":
            with folder.enter("other", make=True) as other:
                folder.move("it", other)
                assert other.kind("it") == "link"
        else:
            ACTS[act](folder, "it")
        assert folder.kind("it") == ("file" if act == "replace" else None)
        folder.remove("it")
    assert (outside / "secret").read_bytes() == SECRET
    assert sorted(path.name for path in outside.iterdir()) == ["deep", "secret"]


def test_nothing_is_written_over_what_is_there(folder: Folder, outside: Path) -> None:
    laid_out(folder, outside, "link to a file")
    with pytest.raises(FileExistsError):
        folder.write("it", b"x")
    with pytest.raises(FileExistsError):
        folder.make("it")
    assert (outside / "secret").read_bytes() == SECRET


def test_a_hard_link_is_the_file_and_its_other_name_keeps_what_it_had(
    folder: Folder, outside: Path
) -> None:
    os.link(outside / "secret", folder.path / "it")
    assert folder.read("it", 100) == SECRET
    folder.replace("it", b"new")
    assert (outside / "secret").read_bytes() == SECRET
    os.link(outside / "secret", folder.path / "again")
    folder.clear("again")
    assert (outside / "secret").read_bytes() == SECRET


def test_a_file_is_read_up_to_its_limit_and_one_byte_more(folder: Folder) -> None:
    (folder.path / "large").touch()
    os.truncate(folder.path / "large", 2**40)
    assert len(folder.read("large", 1000)) == 1001


def test_a_new_file_is_readable_as_the_umask_says_and_leaves_no_other(folder: Folder) -> None:
    before = os.umask(0o027)
    try:
        folder.replace("it", b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE((folder.path / "it").stat().st_mode) == 0o640
    assert list(folder.names()) == ["it"]


def test_what_cannot_be_replaced_leaves_nothing_behind(folder: Folder) -> None:
    folder.make("it")
    with pytest.raises(OSError, match="directory"):
        folder.replace("it", b"x")
    assert list(folder.names()) == ["it"]


def test_clearing_a_tree_follows_no_link_in_it(folder: Folder, outside: Path) -> None:
    deep = folder.path / "tree" / "a" / "b"
    deep.mkdir(parents=True)
    (deep / "file").write_bytes(b"x")
    (deep / "to-secret").symlink_to(outside / "secret")
    (deep / "to-directory").symlink_to(outside)
    (deep / "loop").symlink_to("..")
    os.mkfifo(deep / "fifo")
    folder.clear("tree")
    assert list(folder.names()) == []
    assert (outside / "secret").read_bytes() == SECRET


def test_what_is_deeper_than_any_checkpoint_is_left_and_said(folder: Folder) -> None:
    at = "tree"
    for _ in range(80):
        (folder.path / at).mkdir()
        at += "/d"
    with pytest.raises(WrongKind, match="lies more than 64 directories deep; remove it by hand"):
        folder.clear("tree")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("top/link/x", "top/link: is a link; links are not followed here"),
        ("top/file/x", "top/file: is a file; put the directory itself there"),
        ("top/../outside", "'..' is no name"),
        ("elsewhere", "elsewhere: does not lie below"),
        ("top-secret", "top-secret: does not lie below"),
        ("top/loop/x", "top/loop: is a link"),
    ],
)
@pytest.mark.parametrize("make", [False, True])
def test_no_path_leads_out_of_what_it_must_lie_below(
    tmp_path: Path, outside: Path, path: str, words: str, make: bool
) -> None:
    top = tmp_path / "top"
    top.mkdir()
    (top / "file").touch()
    (top / "link").symlink_to(outside)
    (top / "loop").symlink_to("loop")
    with pytest.raises(WrongKind, match=words.replace(".", r"\.")):
        Folder.at(tmp_path / path, top, make=make)
    assert sorted(found.name for found in outside.iterdir()) == ["deep", "secret"]


def test_what_was_mounted_may_be_a_link_and_is_made_where_it_is_missing(
    tmp_path: Path, outside: Path
) -> None:
    (tmp_path / "mounted").symlink_to(outside)
    with Folder.at(tmp_path / "mounted" / "deep", tmp_path / "mounted") as folder:
        folder.write("x", b"")
    with Folder.at(tmp_path / "new" / "a" / "b", tmp_path / "new", make=True) as folder:
        folder.write("y", b"")
    assert (outside / "deep" / "x").exists()
    assert (tmp_path / "new" / "a" / "b" / "y").exists()
    with pytest.raises(FileNotFoundError):
        Folder.at(tmp_path / "missing" / "a", tmp_path / "missing")


def test_no_descriptor_stays_open(folder: Folder, outside: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for kind in ("link to a directory", "fifo", "directory"):
        laid_out(folder, outside, kind)
        for act in ("read", "replace", "clear"):
            try:
                ACTS[act](folder, "it")
            except OSError:
                continue
        folder.clear("it")
        with pytest.raises(OSError, match="it"):
            Folder.at(folder.path / "it" / "x", folder.path)
    assert len(os.listdir("/proc/self/fd")) == before
