"""Storage that is laid out to lead elsewhere; whatever the attack, another team's folder stays as it was."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airflow_runai.checkpoints import check
from airflow_runai.checkpoints.choosing.report_file import read_ledger
from airflow_runai.checkpoints.keeping.champion import read_champion
from airflow_runai.checkpoints.keeping.leases import forget_expired, hold, leased, release
from airflow_runai.checkpoints.keeping.quarantine import QuarantineProblem, quarantine
from airflow_runai.checkpoints.keeping.removal import remove
from airflow_runai.checkpoints.keeping.retention import (
    Retention,
    RetentionPlan,
    RetentionProblem,
    plan_retention,
)
from tests.checkpoints.samples import publish, write
from tests.checkpoints.shared_storage import LEASE, NOW, TRASH, Storage, bad, built


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    storage = built(tmp_path)
    yield storage
    assert storage.seen_outside() == storage.before


# -- the attacks
# -------------------------------------------------------------------------------------------------------
def test_trash_that_is_a_link_is_neither_deleted_nor_put_back(storage: Storage) -> None:
    """A3: retention once renamed another team's best model into ours."""
    storage.lead_out(f"run/{TRASH}")
    (storage.root / ".leases" / "step-00000007@x.json").write_text(
        LEASE.replace('"until": 1', f'"until": {NOW + 1}')
    )
    assert [
        path.name
        for path in remove(RetentionPlan(storage.root, remove=(storage.step(1),)), now=NOW)
    ] == ["step-00000001"]
    assert (storage.root / TRASH).is_symlink()
    assert not (storage.root / "step-00000007").exists()


def test_what_lies_in_real_trash_and_is_a_link_is_removed_or_put_back_as_a_link(
    storage: Storage,
) -> None:
    for name in ("step-00000005", "step-00000006"):
        (storage.root / TRASH / name).symlink_to(storage.outside)
    remove(RetentionPlan(storage.root), now=NOW)
    assert not (storage.root / TRASH).exists()
    (storage.root / TRASH).mkdir()
    (storage.root / TRASH / "step-00000005").symlink_to(storage.outside)
    (storage.root / ".leases" / "step-00000005@x.json").write_text("{")
    remove(RetentionPlan(storage.root), now=NOW)
    assert (storage.root / "step-00000005").is_symlink()


@pytest.mark.parametrize("target", ["theirs", "loop", "nothing", "file", "fifo"])
def test_leases_that_lie_elsewhere_are_neither_written_nor_read_nor_cleared(
    storage: Storage, target: str
) -> None:
    """A4: leases once were written outside, and other people's files removed there."""
    place = storage.root / ".leases"
    shutil.rmtree(place)
    made: dict[str, Callable[[], object]] = {
        "theirs": lambda: place.symlink_to(storage.outside / ".leases"),
        "loop": lambda: place.symlink_to(".leases"),
        "nothing": lambda: place.symlink_to("nowhere"),
        "file": lambda: place.touch(),
        "fifo": lambda: os.mkfifo(place),
    }
    made[target]()
    for act in (
        lambda: hold(storage.step(1), "we", until=NOW),
        lambda: release(storage.step(1), "we"),
        lambda: leased(storage.root, now=0),
        lambda: forget_expired(storage.root, now=NOW),
    ):
        with pytest.raises(
            OSError, match=r"\.leases: is a (link|file|fifo); .*put the directory itself there"
        ):
            act()
    with pytest.raises(RetentionProblem, match=r"\.leases: is a"):
        remove(RetentionPlan(storage.root, remove=(storage.step(1),)), now=NOW)
    assert storage.step(1).exists()


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "kind", ["fifo", "link", "directory", "huge", "text", "nan", "no holder", "deep"]
)
def test_a_lease_that_is_none_is_held_until_somebody_looks(storage: Storage, kind: str) -> None:
    place = storage.root / ".leases" / "step-00000001@x.json"
    made: dict[str, Callable[[], object]] = {
        "fifo": lambda: os.mkfifo(place),
        "link": lambda: place.symlink_to(storage.outside / ".leases" / "step-00000009@dead.json"),
        "directory": lambda: place.mkdir(),
        "huge": lambda: place.write_text(LEASE + " " * 2**20),
        "text": lambda: place.write_text('"x"'),
        "nan": lambda: place.write_text(LEASE.replace('"until": 1', '"until": NaN')),
        "no holder": lambda: place.write_text(f'{{"until": {NOW + 1}}}'),
        "deep": lambda: place.write_text("[" * 60_000),
    }
    made[kind]()
    forget_expired(storage.root, now=NOW)
    assert "cannot be read" in leased(storage.root, now=NOW)["step-00000001"]
    assert place.is_symlink() or place.exists()


def test_the_name_of_a_holder_is_shown_as_what_it_is(storage: Storage) -> None:
    lease = storage.root / ".leases" / "step-00000001@x.json"
    lease.write_text(
        '{"holder": "\\u0000\\u001b[31m\\ud83d' + "x" * 5000 + f'", "until": {NOW + 1}}}'
    )
    (holder,) = leased(storage.root, now=NOW).values()
    assert holder.isprintable()
    assert len(holder) <= 256


def test_nothing_is_put_aside_into_a_quarantine_that_lies_elsewhere(storage: Storage) -> None:
    """A5: a checkpoint once was moved out of our storage."""
    storage.lead_out("run/quarantine")
    with pytest.raises(QuarantineProblem, match=r"quarantine: is a link; .*; it was left there"):
        quarantine(storage.step(1), bad(storage.step(1)))
    assert storage.step(1).exists()


def test_a_cell_that_somebody_laid_out_before_is_not_used(storage: Storage) -> None:
    (storage.root / "quarantine" / "step-00000001").symlink_to(storage.outside)
    moved = quarantine(storage.step(1), bad(storage.step(1)))
    assert moved == storage.root / "quarantine" / "step-00000001.2" / "step-00000001"


def test_a_root_that_became_a_link_is_refused_below_its_mount_and_taken_where_a_person_names_it(
    storage: Storage, tmp_path: Path
) -> None:
    publish(storage.root, 4)
    rules = Retention(keep_last=1, min_age_seconds=0)
    found = plan_retention(storage.root, rules, now=NOW, below=storage.mount)
    storage.lead_out("run")
    with pytest.raises(RetentionProblem, match=r"mnt/run: is a link; .*nothing more was removed"):
        remove(found, now=NOW)
    with pytest.raises(OSError, match=r"mnt/run: is a link"):
        hold(storage.step(1), "we", until=NOW, below=storage.mount)
    with pytest.raises(QuarantineProblem, match=r"mnt/run: is a link"):
        quarantine(storage.step(1), bad(storage.step(1)), below=storage.mount)
    (tmp_path / "alias").symlink_to(tmp_path / "moved-run")
    assert len(remove(plan_retention(tmp_path / "alias", rules, now=NOW), now=NOW)) == 3


@pytest.mark.timeout(20)
@pytest.mark.parametrize("kind", ["link", "fifo", "directory", "device"])
def test_a_pointer_and_a_report_are_files_or_nothing(storage: Storage, kind: str) -> None:
    place = storage.root / "notes" / "own.json"
    made: dict[str, Callable[[], object]] = {
        "link": lambda: place.symlink_to(storage.outside / "notes" / "champion.json"),
        "fifo": lambda: os.mkfifo(place),
        "directory": lambda: place.mkdir(),
        "device": lambda: place.symlink_to("/dev/zero"),
    }
    made[kind]()
    with pytest.raises(
        ValueError, match=r"own\.json: is no champion pointer \(.*: is a .*\); move it away"
    ):
        read_champion(place)
    with pytest.raises(OSError, match=r"own\.json: is a .*; put|own\.json: is a .*itself there"):
        read_ledger(place)


def test_a_pointer_that_is_a_link_shows_nothing_of_what_it_leads_to(
    storage: Storage, tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("a secret token")
    folder = storage.root / "deepspeed"
    for tag in ("global_step1", "global_step2"):
        (folder / tag).mkdir(parents=True)
        write(folder / tag / "mp_rank_00_model_states.pt", b"torn")
    (folder / "latest").symlink_to(tmp_path / "token")
    found = {finding.code: finding.message for finding in check(folder).findings}
    assert found["pointer-broken"].startswith(
        "names what a link leads to, which is not there; global_step2"
    )
    assert "secret" not in str(found)
