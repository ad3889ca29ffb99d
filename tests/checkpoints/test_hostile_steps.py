"""A link that appears before every single thing that is done to files, and leads to another team's folder."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airflow_runai.checkpoints.keeping.champion import read_champion, write_champion
from airflow_runai.checkpoints.keeping.leases import hold, release
from airflow_runai.checkpoints.keeping.quarantine import QuarantineProblem, quarantine
from airflow_runai.checkpoints.keeping.removal import remove
from airflow_runai.checkpoints.keeping.retention import RetentionPlan, RetentionProblem
from airflow_runai.checkpoints.storage.small_files import SmallFile
from tests.checkpoints.shared_storage import NOW, TRASH, Storage, bad, built


class Steps:
    """Counts what is done to files, and does something before the n-th."""

    def __init__(self) -> None:
        self.left = -1
        self.act: Callable[[], None] = lambda: None
        sys.addaudithook(self._hook)

    def _hook(self, event: str, arguments: Any) -> None:
        if self.left >= 0 and (event == "open" or event.startswith("os.")):
            self.left -= 1
            if self.left < 0:
                self.act()

    def before(self, number: int, act: Callable[[], None]) -> None:
        self.left, self.act = number, act

    def finished(self) -> bool:
        """Whether it came to that step."""
        came, self.left = self.left < 0, -1
        return came


STEPS = Steps()


def held_and_released(storage: Storage) -> None:
    hold(storage.step(1), "we", until=NOW + 1, below=storage.mount)
    release(storage.step(1), "we", below=storage.mount)


def put_aside(storage: Storage) -> None:
    quarantine(storage.step(2), bad(storage.step(2)), below=storage.mount)


def removed(storage: Storage) -> None:
    pointer = SmallFile(storage.root / "notes" / "champion.json", storage.mount)
    remove(
        RetentionPlan(storage.root, {}, (storage.step(1), storage.step(2)), pointer, storage.mount),
        now=NOW,
    )


def promoted(storage: Storage) -> None:
    pointer = SmallFile(storage.root / "notes" / "champion.json", storage.mount)
    found = read_champion(pointer)
    assert found is None or found["theirs"] == "run"
    write_champion(pointer, {"uri": "step-00000002", "theirs": "run"})
    pointer.make_room()
    pointer.remove()


PLACES: dict[Callable[[Storage], None], tuple[str, ...]] = {
    held_and_released: ("run", "run/.leases"),
    put_aside: ("run", "run/quarantine", "run/step-00000002"),
    removed: ("run", "run/.leases", f"run/{TRASH}", "run/step-00000001", "run/notes"),
    promoted: ("run", "run/notes", "run/notes/champion.json"),
}


@pytest.mark.slow
@pytest.mark.parametrize("act", PLACES)
def test_a_link_that_appears_at_any_step_leads_nowhere(
    quick_disk: Path, act: Callable[[Storage], None]
) -> None:
    tried = refused = 0
    for place in PLACES[act]:
        for number in range(1000):
            storage = built(quick_disk / f"{place.replace('/', '-')}-{number}")
            STEPS.before(number, lambda place=place, storage=storage: storage.lead_out(place))  # type: ignore[misc]
            try:
                act(storage)
            except (OSError, QuarantineProblem, RetentionProblem, ValueError) as error:
                refused += "theirs" not in str(error)
            came = STEPS.finished()
            assert storage.seen_outside() == storage.before, f"{place} at step {number}"
            shutil.rmtree(storage.base)
            if not came:
                break
            tried += 1
        else:
            raise AssertionError("it does not end")
    assert tried > 20
    assert refused > 0
