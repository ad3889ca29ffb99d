"""Which checkpoints may go: the rules one by one, and five thousand random steps in which nothing needed ever goes."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints import Verdict, check
from airflow_runai.checkpoints.choosing.roots import RootProblem, candidates
from airflow_runai.checkpoints.keeping.champion import write_champion
from airflow_runai.checkpoints.keeping.champion_history import ChampionHistory
from airflow_runai.checkpoints.keeping.leases import hold, leased, release
from airflow_runai.checkpoints.keeping.quarantine import QUARANTINE, quarantine
from airflow_runai.checkpoints.keeping.removal import remove
from airflow_runai.checkpoints.keeping.retention import (
    Retention,
    RetentionPlan,
    RetentionProblem,
    plan_retention,
)
from tests.checkpoints.samples import publish, torch_file, write
from tests.checkpoints.stepped_store import Store, StoredPath

#: After everything that the tests write.
NOW = 4e9


def kept(root: Path, champion: Path | None = None, **rules: Any) -> set[int]:
    """Steps that are there after the rules were applied."""
    remove(plan_retention(root, Retention(**rules), now=NOW, champion=champion), now=NOW)
    return {found.step or 0 for found in candidates(root)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for step in range(1, 8):
        publish(tmp_path, step, metrics={"loss": abs(step - 3.1), "note": "x"})
    return tmp_path


def tear(root: Path, step: int) -> None:
    write(root / f"step-{step:08d}" / "model.safetensors", b"torn")


def test_the_last_valid_ones_are_kept(root: Path) -> None:
    assert kept(root, keep_last=2) == {6, 7}


def test_torn_ones_do_not_count_and_newer_torn_ones_are_left_for_quarantine(root: Path) -> None:
    for step in (7, 5):
        tear(root, step)
    assert kept(root, keep_last=2) == {7, 6, 4}


def test_the_best_by_a_metric_are_kept(root: Path) -> None:
    tear(root, 3)
    assert kept(root, keep_last=1, keep_best=2, metric="loss", metric_mode="min") == {7, 4, 2}


def test_the_highest_is_best_by_default(root: Path) -> None:
    assert kept(root, keep_last=1, keep_best=1, metric="loss") == {7}
    assert kept(root, keep_last=1, keep_best=3, metric="note") == {7}


def test_a_metric_that_is_no_number_mixes_up_nothing(tmp_path: Path) -> None:
    for step, loss in enumerate((2.0, float("nan"), 1.0, float("nan"), 3.0), start=1):
        publish(tmp_path, step, metrics={"loss": loss})
    assert kept(tmp_path, keep_last=1, keep_best=1, metric="loss", metric_mode="min") == {5, 3}


def test_pinned_ones_are_kept(root: Path) -> None:
    assert kept(root, keep_last=1, keep_names=("step-0000000[12]",)) == {7, 1, 2}


def test_the_champion_is_kept_whatever_its_mount_is_called(root: Path) -> None:
    pointer = root / "champion.json"
    write_champion(pointer, {"uri": "s3://elsewhere/run/step-00000002/"})
    assert kept(root, pointer, keep_last=1) == {7, 2}


def test_what_is_being_evaluated_is_kept_until_the_lease_ends(root: Path) -> None:
    for step, until in ((1, NOW + 1), (2, NOW - 1), (3, NOW + 1)):
        hold(root / f"step-{step:08d}", "evaluation", until=until)
    release(root / "step-00000003", "evaluation")
    assert kept(root, keep_last=1) == {7, 1}


def test_a_lease_that_cannot_be_read_never_ends(root: Path) -> None:
    hold(root / "step-00000001", "evaluation", until=0)
    (lease,) = (root / ".leases").iterdir()
    lease.write_text("{")
    assert "cannot be read" in leased(root, now=NOW)["step-00000001"]
    assert kept(root, keep_last=1) == {7, 1}


def test_what_is_gone_cannot_be_held(root: Path) -> None:
    with pytest.raises(FileNotFoundError, match="choose another"):
        hold(root / "step-00000099", "evaluation", until=NOW + 1)
    assert leased(root, now=NOW) == {}


def test_where_nothing_is_valid_nothing_goes(root: Path) -> None:
    for step in range(1, 8):
        tear(root, step)
    assert kept(root, keep_last=1) == set(range(1, 8))


def test_what_is_being_written_stays(root: Path) -> None:
    write(root / "step-00000002" / "checkpoint-is-incomplete.txt", b"")
    (root / ".tmp-step-00000008-0-aa").mkdir()
    assert kept(root, keep_last=1) == {7, 2}
    assert (root / ".tmp-step-00000008-0-aa").exists()


def test_what_was_changed_just_now_stays(root: Path) -> None:
    os.utime(root / "step-00000002" / "model.safetensors", (NOW - 30, NOW - 30))
    assert kept(root, keep_last=1, min_age_seconds=60) == {7, 2}
    assert kept(root, keep_last=1, min_age_seconds=20) == {7}


class Denied(type(Path())):  # type: ignore[misc]  # the class of paths depends on the platform
    """A path whose step 2 may not be looked at."""

    def stat(self, *args: Any, **more: Any) -> Any:
        if "step-00000002" in self.parts:
            raise PermissionError(13, "Permission denied")
        return super().stat(*args, **more)


def test_what_cannot_be_read_stays(root: Path) -> None:
    found = plan_retention(Denied(root), Retention(keep_last=1), now=NOW)
    assert found.keep["step-00000002"] == "unknown: it is not known what it is"
    assert {path.name for path in found.remove} == {f"step-{step:08d}" for step in (1, 3, 4, 5, 6)}


def test_a_link_stays(root: Path) -> None:
    (root / "step-00000002").rename(root / "elsewhere")
    (root / "step-00000002").symlink_to(root / "elsewhere")
    assert kept(root, keep_last=1) == {7, 2}


def test_a_plan_alone_removes_nothing_and_gives_reasons(root: Path) -> None:
    found = plan_retention(root, Retention(keep_last=2), now=NOW)
    assert found.keep == {
        "step-00000007": "the newest valid one: training resumes from it",
        "step-00000006": "among the last 2",
    }
    assert len(list(candidates(root))) == 7


def test_an_index_goes_with_its_data(tmp_path: Path) -> None:
    pickle: bytes = torch_file.__defaults__[0]  # type: ignore[index]
    write(tmp_path / "step-9.pt", torch_file(pickle.replace(b"K\x07", b"K\x09")))
    for name in ("ckpt-3.index", "ckpt-3.data-00000-of-00001"):
        write(tmp_path / name, b"no table")
    remove(plan_retention(tmp_path, Retention(keep_last=1), now=NOW), now=NOW)
    assert [path.name for path in tmp_path.iterdir()] == ["step-9.pt"]


def test_a_pointer_that_cannot_be_read_stops_everything(root: Path) -> None:
    pointer = write(root / "champion.json", b"{")
    with pytest.raises(RetentionProblem, match="what is needed cannot be known"):
        plan_retention(root, Retention(keep_last=1), now=NOW, champion=pointer)
    silent: Any = Silent()
    with pytest.raises(
        RetentionProblem, match=r"cannot be known \(RuntimeError: no answer\); nothing was removed"
    ):
        plan_retention(root, Retention(keep_last=1), now=NOW, champion=silent)


class Silent:
    """A pointer in a storage whose library raises errors of its own."""

    name = "champion.json"
    parent = StoredPath(Store(), "bucket")

    def open(self, mode: str) -> Any:
        raise RuntimeError("no answer")


def test_what_became_needed_after_the_plan_is_not_removed(root: Path) -> None:
    found = plan_retention(root, Retention(keep_last=1), now=NOW, champion=root / "champion.json")
    write_champion(root / "champion.json", {"uri": str(root / "step-00000004")})
    hold(root / "step-00000003", "evaluation", until=NOW + 1)
    shutil.rmtree(root / "step-00000001")
    assert {path.name for path in remove(found, now=NOW)} == {
        f"step-{step:08d}" for step in (6, 5, 2)
    }


def test_after_a_crash_both_the_champion_and_the_one_in_the_pointer_are_kept(root: Path) -> None:
    pointer = root / "champion.json"
    history = ChampionHistory(pointer)
    old = history.append({"uri": "step-00000002"}, None)
    history.append({"uri": "step-00000003"}, old)
    write_champion(pointer, old)
    assert kept(root, pointer, keep_last=1) == {2, 3, 7}
    history.settle()
    assert kept(root, pointer, keep_last=1) == {3, 7}


def test_an_interrupted_removal_is_finished_by_the_next_one(root: Path) -> None:
    for step in (1, 2):
        (root / f".trash-retention-{step}").mkdir()
        (root / f"step-{step:08d}").rename(root / f".trash-retention-{step}" / f"step-{step:08d}")
    write_champion(root / "champion.json", {"uri": "step-00000002"})
    assert kept(root, root / "champion.json", keep_last=9) == {2, 3, 4, 5, 6, 7}
    assert not list(root.glob(".trash-*"))


class TakenUp:
    """A pointer, at the reading of which another removal takes a checkpoint that somebody has just begun to read."""

    name = "champion.json"
    parent = StoredPath(Store(), "bucket")

    def __init__(self, checkpoint: Path) -> None:
        self.checkpoint = checkpoint

    def open(self, mode: str) -> Any:
        trash = self.checkpoint.parent / ".trash-retention-other"
        if self.checkpoint.exists():
            hold(self.checkpoint, "evaluation", until=NOW + 1)
            trash.mkdir()
            self.checkpoint.rename(trash / self.checkpoint.name)
        raise FileNotFoundError


def test_what_another_removal_has_under_way_is_not_deleted_on_old_news(root: Path) -> None:
    pointer: Any = TakenUp(root / "step-00000004")
    rules = RetentionPlan(root, champion=pointer)
    (root / ".trash-retention-begun").mkdir()
    remove(rules, now=NOW)
    assert (root / ".trash-retention-other" / "step-00000004").exists()
    remove(rules, now=NOW)
    assert (root / "step-00000004").exists()


def test_a_name_that_cannot_be_taken_stops_the_removal_and_says_so(root: Path) -> None:
    elsewhere = Path("/proc/self/fdinfo")  # of another file system
    with pytest.raises(RetentionProblem, match=r"cannot be renamed .*; nothing more was removed"):
        remove(RetentionPlan(root, remove=(elsewhere, root / "step-00000001")), now=NOW)
    assert (root / "step-00000001").exists()
    assert not list(root.glob(".trash-*"))


@pytest.mark.parametrize(
    ("rules", "words"),
    [
        ({"keep_last": 0}, "keep_last: 0; allowed: a whole number from 1"),
        ({"min_age_seconds": float("nan")}, "min_age_seconds: nan; allowed: seconds from 0"),
        ({"keep_best": 2}, "keep_best: 2 of metric None; name both or neither"),
        ({"metric": "loss"}, "keep_best: 0 of metric 'loss'; name both or neither"),
        (
            {"keep_best": -1, "metric_mode": "most", "level": 9},
            "metric_mode: 'most'; allowed: 'max' or 'min'; level: 9",
        ),
    ],
)
def test_rules_that_contradict_themselves_are_refused(rules: dict[str, Any], words: str) -> None:
    with pytest.raises(RetentionProblem, match=words):
        Retention(**rules)


# -- the model
# ---------------------------------------------------------------------------------------------------------
class World:
    """
    A root, and beside it what is true of it.

    Every act is one step; :meth:`judge` looks after each.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.root, self.dice, self.now, self.step = root, random.Random(seed), NOW, 0
        self.good: set[str] = set()
        self.bad: set[str] = set()
        self.unfinished: set[str] = set()
        self.leases: dict[tuple[str, str], float] = {}
        self.champion: str | None = None
        self.quarantined: dict[str, bytes] = {}
        self.removed = 0

    @property
    def pointer(self) -> Path:
        return self.root / "champion.json"

    def any_of(self, names: set[str]) -> str | None:
        return self.dice.choice(sorted(names)) if names else None

    # what happens
    def publishes(self) -> None:
        self.step += 1
        self.good.add(publish(self.root, self.step, metrics={"loss": self.dice.random()}).name)

    def crashes_while_writing(self) -> None:
        if len(self.unfinished) < 4:
            self.step += 1
            name = self.dice.choice(
                [f".tmp-step-{self.step:08d}-0-{self.step:024x}", f"step-{self.step:08d}"]
            )
            (self.root / name).mkdir()
            write(self.root / name / "checkpoint-is-incomplete.txt", b"")
            write(self.root / name / "model.safetensors", b"half")
            self.unfinished.add(name)
        elif name := self.any_of(self.unfinished):  # type: ignore[assignment]  # none of an empty set
            self.unfinished.discard(name)
            shutil.rmtree(self.root / name)

    def is_damaged(self) -> None:
        name = self.any_of(set(sorted(self.good)[-3:]))
        if name and len(self.good) > 1:
            data = bytearray((self.root / name / "model.safetensors").read_bytes())
            data[self.dice.randrange(len(data))] ^= 1
            write(self.root / name / "model.safetensors", bytes(data))
            self.good.discard(name)
            self.bad.add(name)

    def is_promoted(self) -> None:
        self.champion = self.any_of(self.good)
        if self.champion:
            write_champion(self.pointer, {"uri": f"file:///mnt/{self.champion}"})

    def evaluation_starts(self) -> None:
        name, holder = self.any_of(self.good), f"run {self.dice.randrange(5)}"
        if name:
            until = self.now + self.dice.randrange(1, 500)
            hold(self.root / name, holder, until=until)
            self.leases[name, holder] = until

    def evaluation_ends(self) -> None:
        if self.leases:
            name, holder = self.dice.choice(sorted(self.leases))
            release(self.root / name, holder)
            del self.leases[name, holder]

    def time_passes(self) -> None:
        self.now += self.dice.randrange(200)
        self.leases = {key: until for key, until in self.leases.items() if until > self.now}

    def worst_are_put_aside(self) -> None:
        for found in self.listed():
            report = check(found, level=2)
            if report.verdict in (Verdict.VALID, Verdict.IN_PROGRESS):
                break
            assert report.path.endswith(tuple(self.bad)), f"{report} is not known to be bad"
            moved = quarantine(found, report)
            self.quarantined[str(moved)] = (moved / "model.safetensors").read_bytes()
            self.bad.discard(found.name)

    def retention(self) -> None:
        loss: dict[str, Any] = {
            "keep_best": self.dice.randrange(1, 4),
            "metric": "loss",
            "metric_mode": "min",
        }
        rules = Retention(
            keep_last=self.dice.randrange(1, 4), min_age_seconds=0, **self.dice.choice([{}, loss])
        )
        if not (found := self.planned(rules)):
            return
        for act in (self.evaluation_starts, self.is_promoted, self.publishes, self.is_damaged):
            if self.dice.random() < 0.1:
                act()
        if self.dice.random() < 0.1 and found.remove:
            return self.dies_in_retention(found.remove[-1])
        gone = {path.name for path in remove(found, now=self.now)}
        self.forget(gone)
        assert not list(self.root.glob(".trash-*"))

    def planned(self, rules: Retention) -> RetentionPlan | None:
        try:
            return plan_retention(self.root, rules, now=self.now, champion=self.pointer)
        except RootProblem:
            return None

    def dies_in_retention(self, path: Path) -> None:
        if path.name not in self.needed():
            trash = self.root / f".trash-retention-{self.step}-{self.dice.random()}"
            trash.mkdir()
            path.rename(trash / path.name)
            self.forget({path.name})

    def forget(self, gone: set[str]) -> None:
        self.removed += len(gone)
        self.good -= gone
        self.bad -= gone

    # what must be true
    def listed(self) -> Iterator[Path]:
        try:
            yield from (Path(str(found.path)) for found in candidates(self.root))
        except RootProblem:
            return

    def needed(self) -> set[str]:
        held = {name for name, _ in self.leases}
        return held | ({self.champion} if self.champion else set()) | set(sorted(self.good)[-1:])

    def judge(self, needed: set[str]) -> None:
        there = set(os.listdir(self.root))
        aside = set(self.names_aside())
        assert needed - self.bad <= there | aside
        assert self.needed() <= there | aside
        assert not self.good & aside
        assert self.good | self.bad | self.unfinished <= there
        assert len(aside) <= len(self.quarantined)

    def names_aside(self) -> set[str]:
        return {Path(path).name for path in self.quarantined}


ACTS = (
    *(World.publishes,) * 6,
    *(World.is_damaged, World.crashes_while_writing, World.is_promoted, World.time_passes) * 2,
    *(World.evaluation_starts, World.evaluation_ends) * 2,
    *(World.worst_are_put_aside,) * 4,
    *(World.retention,) * 2,
)


@pytest.mark.slow
def test_nothing_that_is_needed_ever_goes_in_five_thousand_steps(quick_disk: Path) -> None:
    world = World(quick_disk, seed=20261123)
    for _ in range(5000):
        needed = world.needed()
        world.dice.choice(ACTS)(world)
        world.judge(needed)
    assert world.removed > 500
    assert len(world.quarantined) > 50
    assert all(
        (Path(path) / "model.safetensors").read_bytes() == held
        for path, held in world.quarantined.items()
    )
    notes = list((quick_disk / QUARANTINE).glob("*/report.json"))
    assert len(notes) == len(world.quarantined)
    assert {json.loads(note.read_text())["verdict"] for note in notes} == {"invalid"}
