"""Several processes write one checkpoint: whole, or not at all, whoever of them dies and when."""

from __future__ import annotations

import ast
import json
import os
import random
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from airflow_runai.checkpoints import Verdict, check
from airflow_runai.training import preemptible
from airflow_runai.training import ranks as module
from airflow_runai.training.preemptible import CheckpointVerificationError, newest_valid, verify
from airflow_runai.training.ranks import FileBarrier, NotPublished, RankMissing, Ranks, save_shards
from tests.support.patience import PATIENCE

from . import rank as program

WORLD = 4
HERE = Path(__file__).parents[2]
Part = Callable[[int, Path], None]


def each(work: Callable[[int], object], world: int = WORLD) -> list[object]:
    """Run a function as every rank, in threads; an exception is a result."""
    results: list[object] = [None] * world

    def one(rank: int) -> None:
        try:
            results[rank] = work(rank)
        except BaseException as error:
            results[rank] = error

    threads = [threading.Thread(target=one, args=(rank,), daemon=True) for rank in range(world)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def plain(rank: int, folder: Path) -> None:
    (folder / f"part-{rank}.dat").write_bytes(program.content(7, rank))


def save(root: Path, part: Part = plain, step: int = 7, timeout: float = PATIENCE) -> list[object]:
    """Save one step by four ranks that meet by files."""

    def work(rank: int) -> None:
        with save_shards(
            root, step, Ranks(rank, WORLD, timeout=timeout), metrics={"loss": 0.5}
        ) as folder:
            part(rank, folder)

    return each(work)


def names(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.name not in (".barrier", ".ranks"))


# --- together
# --------------------------------------------------------------------------------------------


def test_parts_of_all_ranks_become_one_checkpoint(tmp_path: Path) -> None:
    assert save(tmp_path) == [None] * WORLD
    found = newest_valid(tmp_path)
    assert found is not None
    assert (found.step, found.metrics) == (7, {"loss": 0.5})
    assert names(found.path) == ["manifest.json", *(f"part-{rank}.dat" for rank in range(WORLD))]
    manifest = json.loads((found.path / "manifest.json").read_text())
    assert manifest["world_size"] == WORLD
    assert [entry["rank"] for entry in manifest["files"]] == list(range(WORLD))
    assert names(tmp_path) == ["latest", "step-00000007"]


def test_checker_accepts_what_ranks_published(tmp_path: Path) -> None:
    save(tmp_path)
    assert check(tmp_path / "step-00000007").verdict is Verdict.VALID


def test_given_barrier_is_used_and_no_files_for_meeting_are_left(tmp_path: Path) -> None:
    barrier = threading.Barrier(WORLD, timeout=PATIENCE)

    def work(rank: int) -> None:
        for step in (1, 2, 3):
            with save_shards(tmp_path, step, Ranks(rank, WORLD, barrier.wait)) as folder:
                plain(rank, folder)

    assert each(work) == [None] * WORLD
    assert not (tmp_path / ".barrier").exists()
    assert names(tmp_path) == ["latest", "step-00000001", "step-00000002", "step-00000003"]


def test_one_rank_needs_no_barrier(tmp_path: Path) -> None:
    with save_shards(tmp_path, 1, Ranks(0, 1)) as folder:
        plain(0, folder)
    assert verify(tmp_path / "step-00000001").step == 1
    assert not (tmp_path / ".barrier").exists()


# --- one of them fails
# -----------------------------------------------------------------------------------


def fail(rank: int, folder: Path) -> None:
    plain(rank, folder)
    if rank == 2:
        raise OSError(28, "No space left on device")


def forget(rank: int, folder: Path) -> None:
    if rank != 3:
        plain(rank, folder)


def collide(rank: int, folder: Path) -> None:
    (folder / "model.bin").write_text("mine")


def link(rank: int, folder: Path) -> None:
    plain(rank, folder)
    if rank == 1:
        (folder / "linked").symlink_to("/etc")


@pytest.mark.parametrize(
    ("part", "says"),
    [
        (fail, r"rank 2: OSError: .*No space left"),
        (forget, r"rank 3: wrote no file"),
        (collide, r"model\.bin was written by several ranks"),
        (link, r"rank 1: CheckpointVerificationError: .*links"),
    ],
)
def test_failure_of_one_rank_is_told_to_all_and_nothing_is_published(
    tmp_path: Path, part: Part, says: str
) -> None:
    results = save(tmp_path, part)
    others = [result for result in results if isinstance(result, NotPublished)]
    assert len(others) >= WORLD - 1
    assert all(re.search(says, str(result)) for result in others)
    assert [result for result in results if not isinstance(result, Exception)] == []
    assert newest_valid(tmp_path) is None
    assert names(tmp_path) == []


def test_failed_rank_gets_its_own_error(tmp_path: Path) -> None:
    assert isinstance(save(tmp_path, fail)[2], OSError)


def test_failure_of_rank_0_is_told_to_the_others(tmp_path: Path) -> None:
    def part(rank: int, folder: Path) -> None:
        plain(rank, folder)
        if rank == 0:
            raise RuntimeError("CUDA error")

    first, *others = save(tmp_path, part)
    assert isinstance(first, RuntimeError)
    assert all("rank 0: CUDA error" in str(result) for result in others)
    assert names(tmp_path) == []


def test_next_try_after_a_failure_is_clean(tmp_path: Path) -> None:
    save(tmp_path, fail)
    assert save(tmp_path) == [None] * WORLD
    assert verify(tmp_path / "step-00000007").step == 7


def test_rank_that_never_comes_is_named_within_the_time_limit(tmp_path: Path) -> None:
    def work(rank: int) -> None:
        if rank != 3:
            with save_shards(tmp_path, 7, Ranks(rank, WORLD, timeout=0.3)) as folder:
                plain(rank, folder)

    results = each(work)
    assert all(isinstance(result, RankMissing) for result in results[:3])
    assert "3 did not come within 0.3 s" in str(results[0]).replace("]", "")
    assert newest_valid(tmp_path) is None


def test_rank_that_leaves_in_the_middle_is_missed_and_nothing_is_published(tmp_path: Path) -> None:
    together = threading.Barrier(WORLD, timeout=PATIENCE)

    def barrier(rank: int) -> Callable[[], object]:
        """All come twice, however long that takes; from then on one is missed soon."""
        soon = FileBarrier(tmp_path / ".barrier", rank, WORLD, timeout=0.3)
        turns: Iterator[Callable[[], object]] = iter([together.wait, together.wait])
        return lambda: next(turns, soon)()

    everybody = [Ranks(rank, WORLD, barrier(rank)) for rank in range(WORLD)]

    def work(rank: int) -> None:
        if rank == 1:  # comes to the two barriers before writing, then is gone
            everybody[rank].meet(tmp_path)
            everybody[rank].meet(tmp_path)
            return
        with save_shards(tmp_path, 7, everybody[rank]) as folder:
            plain(rank, folder)

    results = each(work)
    assert [isinstance(result, RankMissing) for result in results] == [True, False, True, True]
    assert names(tmp_path) == []
    with (
        pytest.raises(RankMissing, match="a barrier failed before"),
        save_shards(tmp_path, 8, everybody[0]),
    ):
        pass


def test_ranks_that_save_different_steps_are_told_so(tmp_path: Path) -> None:
    barrier = threading.Barrier(2, timeout=PATIENCE)

    def work(rank: int) -> None:
        ranks = Ranks(rank, 2, barrier.wait, timeout=0.3)  # for the directory of one's step
        try:
            with save_shards(tmp_path, 7 + rank, ranks) as folder:
                plain(rank, folder)
        finally:
            barrier.abort()  # who leaves is not waited for

    first, second = each(work, world=2)
    assert isinstance(first, threading.BrokenBarrierError)
    assert "do all ranks save the same step" in str(second)
    assert newest_valid(tmp_path) is None


# --- readers refuse a missing rank
# -----------------------------------------------------------------------


def reseal(folder: Path, change: Callable[[dict[str, object]], None]) -> None:
    """Rewrite a manifest as somebody would who knows the format, but not the ranks."""
    manifest = json.loads((folder / "manifest.json").read_text())
    change(manifest)
    manifest["crc32"] = preemptible._manifest_checksum(manifest)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def drop_rank_2(manifest: dict[str, object]) -> None:
    entries = manifest["files"]
    assert isinstance(entries, list)
    manifest["files"] = [entry for entry in entries if entry["rank"] != 2]


@pytest.mark.parametrize(
    "change",
    [
        drop_rank_2,
        lambda manifest: manifest.update(world_size=WORLD + 1),
        lambda manifest: manifest.update(world_size=10**15),
    ],
)
def test_missing_rank_is_refused_by_training_and_checker(
    tmp_path: Path, change: Callable[[dict[str, object]], None]
) -> None:
    save(tmp_path)
    folder = tmp_path / "step-00000007"
    reseal(folder, change)
    listed = {
        entry["path"] for entry in json.loads((folder / "manifest.json").read_text())["files"]
    }
    for path in folder.glob("part-*"):
        if path.name not in listed:
            path.unlink()
    with pytest.raises(CheckpointVerificationError, match="a rank is missing"):
        verify(folder)
    report = check(folder)
    assert report.verdict is Verdict.INVALID
    assert any("the part of a rank is missing" in finding.message for finding in report.findings)


# --- waiting by files
# ------------------------------------------------------------------------------------


def test_nobody_passes_before_all_have_come(tmp_path: Path) -> None:
    came: list[int] = []

    def work(rank: int) -> list[int]:
        barrier, seen = FileBarrier(tmp_path, rank, WORLD, timeout=PATIENCE), []
        chance = random.Random(rank)
        for _ in range(5):
            time.sleep(chance.uniform(0, 0.01))  # the moments at which they come, not a wait
            came.append(rank)
            barrier()
            seen.append(len(came))
        return seen

    for seen in each(work):
        assert isinstance(seen, list)
        assert all(count >= WORLD * (turn + 1) for turn, count in enumerate(seen))


def test_what_dead_processes_left_is_no_proof(tmp_path: Path) -> None:
    assert each(lambda rank: FileBarrier(tmp_path, rank, 2, timeout=PATIENCE)(), world=2) == [
        None,
        None,
    ]
    with pytest.raises(RankMissing, match=r"ranks \[1\] did not come"):
        FileBarrier(tmp_path, 0, 2, timeout=0.2)()


def test_rank_that_was_started_anew_is_noticed(tmp_path: Path) -> None:
    both = threading.Barrier(2, timeout=PATIENCE)

    def work(rank: int) -> None:
        barrier = FileBarrier(tmp_path, rank, 2, timeout=PATIENCE)
        barrier()
        both.wait()
        if rank == 1:
            barrier = FileBarrier(tmp_path, rank, 2, timeout=0.5)
        barrier()

    assert "rank 1 was restarted" in str(each(work, world=2)[0])


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, (0, 1)),
        ({"RANK": "3", "WORLD_SIZE": "4"}, (3, 4)),
        ({"OMPI_COMM_WORLD_RANK": "1", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2)),
        ({"PMI_RANK": "0", "PMI_SIZE": "8"}, (0, 8)),
        ({"MV2_COMM_WORLD_RANK": "1", "MV2_COMM_WORLD_SIZE": "3"}, (1, 3)),
    ],
)
def test_rank_comes_from_the_launchers_variables(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], expected: tuple[int, int]
) -> None:
    for name in [name for names in module._VARIABLES for name in names]:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = Ranks.from_environment()
    assert (found.rank, found.world_size) == expected


@pytest.mark.parametrize(
    "environment",
    [{"RANK": "1"}, {"RANK": "4", "WORLD_SIZE": "4"}, {"RANK": "-1", "WORLD_SIZE": "4"}],
)
def test_half_an_answer_of_the_launcher_names_the_variables(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]
) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=r"environment RANK='.*', WORLD_SIZE="):
        Ranks.from_environment()


def test_rank_outside_of_its_world_is_refused() -> None:
    with pytest.raises(ValueError, match="rank 4 of 4: expected 0 to 3"):
        Ranks(4, 4)


# --- killed at any moment
# --------------------------------------------------------------------------------


@contextmanager
def training(root: Path, last: int) -> Iterator[list[subprocess.Popen[str]]]:
    children = []
    for rank in range(WORLD):
        environment = {**os.environ, "RANK": str(rank), "WORLD_SIZE": str(WORLD), "JOB_UUID": "one"}
        command = [sys.executable, "-m", "tests.training.rank", str(root), str(last)]
        children.append(
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE, env=environment)
        )
    try:
        yield children
    finally:
        for child in children:
            child.kill()
            child.wait()


def assert_whole(folder: Path) -> None:
    step = verify(folder).step
    assert names(folder) == [
        "deep",
        "manifest.json",
        *(f"part-{rank}.dat" for rank in range(WORLD)),
    ]
    for rank in range(WORLD):
        assert (folder / f"part-{rank}.dat").read_bytes() == program.content(step, rank)


@pytest.mark.slow
def test_four_ranks_killed_at_random_moments_leave_the_old_or_the_new(tmp_path: Path) -> None:
    chance, last, published = random.Random(4), 0, 0
    for round_ in range(12):
        with training(tmp_path, last=10**6) as children:
            said = children[0].stdout
            assert said is not None
            assert said.readline() == f"resumed {last}\n"
            if round_ % 2:
                said.readline()  # deaths in the middle of the work, too, and not only at its start
            order = chance.sample(children, WORLD)
            for child in order:
                time.sleep(chance.uniform(0, 0.03))  # the moments of death
                child.kill()
            published = max([published, *map(int, re.findall(r"published (\d+)", said.read()))])
        for path in tmp_path.glob("step-*"):
            assert_whole(path)
        found = newest_valid(tmp_path)
        last = found.step if found else 0
        assert last >= published
    assert last > 5
    with training(tmp_path, last=last + 2) as children:
        assert [child.wait() for child in children] == [0] * WORLD
    assert_whole(tmp_path / f"step-{last + 2:08d}")
    assert [name for name in names(tmp_path) if name.startswith(".")] == []


# --- any image
# -------------------------------------------------------------------------------------------


def test_file_compiles_for_python_3_8_and_works_beside_a_copied_preemptible(tmp_path: Path) -> None:
    ast.parse(Path(module.__file__).read_text(), feature_version=(3, 8))
    for source in (module, preemptible):
        shutil.copy(str(source.__file__), tmp_path)
    code = (
        "import sys; sys.modules['airflow_runai'] = None\n"
        "from ranks import Ranks, save_shards\n"
        "with save_shards('root', 1, Ranks(0, 1)) as folder: (folder / 'model.bin').write_text('x')"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert verify(tmp_path / "root" / "step-00000001").step == 1
