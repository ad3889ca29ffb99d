"""
A mounted volume with our root, and another team's folder that has all the names that ours has.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airflow_runai.checkpoints import Report, Verdict, check
from tests.checkpoints.samples import publish, write

#: After everything that the tests write.
NOW = 4e9
TRASH = ".trash-retention-x"
LEASE = '{"checkpoint": "step-00000001", "holder": "they", "until": 1}'


@dataclass
class Storage:
    """A mounted volume ``mnt`` with our root ``mnt/run``, and another team's folder beside it."""

    base: Path
    before: dict[str, Any] = field(default_factory=dict)

    @property
    def mount(self) -> Path:
        return self.base / "mnt"

    @property
    def root(self) -> Path:
        return self.mount / "run"

    @property
    def outside(self) -> Path:
        return self.base / "theirs"

    def step(self, number: int) -> Path:
        return self.root / f"step-{number:08d}"

    def seen_outside(self) -> dict[str, Any]:
        found = {}
        for path in sorted(self.outside.rglob("*")):
            known = path.lstat()
            content = path.read_bytes() if path.is_file() else None
            found[str(path)] = (known.st_ino, known.st_mode, known.st_mtime_ns, content)
        return found

    def lead_out(self, place: str) -> None:
        """Put a link to the other team's in the place of something of ours; every folder of ours is there, too."""
        ours = self.mount / place
        for folder in self.root.rglob("*/"):
            if folder.is_dir() and not folder.is_symlink():
                (self.outside / folder.relative_to(self.root)).mkdir(exist_ok=True)
        self.before = self.seen_outside()
        if ours.exists():
            ours.rename(self.base / f"moved-{place.replace('/', '-')}")
        ours.symlink_to(
            self.outside if place == "run" else self.outside / Path(place).relative_to("run")
        )


def built(base: Path) -> Storage:
    """Lay out three checkpoints on each side, with leases, quarantine, trash and a champion."""
    storage = Storage(base)
    for side in (storage.root, storage.outside):
        for step in (1, 2, 3):
            publish(side, step, content={"model.safetensors": b"torn"})
        for folder in (".leases", "quarantine", TRASH, "notes"):
            (side / folder).mkdir()
        (side / ".leases" / "step-00000009@dead.json").write_text(LEASE)
        (side / TRASH / "step-00000007").mkdir()
        write(side / TRASH / "step-00000007" / "model.safetensors", b"old")
        (side / "notes" / "champion.json").write_text(
            f'{{"uri": "step-00000003", "theirs": "{side.name}"}}'
        )
    storage.before = storage.seen_outside()
    return storage


def bad(path: Path) -> Report:
    return Report(str(path), Verdict.INVALID, None, 1, 3, 0, mark=check(path, level=0).mark)
