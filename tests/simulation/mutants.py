"""
Mutants of the package: one defence taken out, in a copy of its files. Who attacks a mutant must be seen by the judges.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Mutant:
    """
    A defence, and how to take it out.

    :param kind: beginning of the class of violations that must follow.
    :param file: below ``airflow_runai``.
    :param before: a text that the file has exactly once.
    :param first: the seed with which the hunt begins: one that catches it, so that it is short.
    :param platform: on which it is hunted.
    :param rare: one history in hundreds shows it, so it is hunted in ``make qualify`` only.
    """

    kind: str
    file: str
    before: str
    after: str
    first: int = 0
    rare: bool = False
    platform: str = "runai"

    def __str__(self) -> str:
        return f"{self.file}: {self.kind}"

    def build(self, folder: Path) -> Path:
        """Copy package and simulation into ``folder``, and take the defence out."""
        for part in ("airflow_runai", "tests/simulation"):
            # Compiled files stay valid, but for that of the target.
            shutil.copytree(ROOT / part, folder / part)
        (folder / "tests" / "__init__.py").touch()
        if self.platform == "kubernetes":
            for part in ("tests/model", "tests/rig/kai"):
                shutil.copytree(ROOT / part, folder / part)
            (folder / "tests" / "rig" / "__init__.py").touch()
        target = folder / "airflow_runai" / self.file
        target.write_text(self.text().replace(self.before, self.after))
        return folder

    def text(self) -> str:
        """Return the file as it is, with its defence."""
        return (ROOT / "airflow_runai" / self.file).read_text()

    def hunted(self, folder: Path, seeds: int) -> str:
        """
        Play the first ``seeds`` seeds against the mutant in ``folder``; return what was printed.
        """
        many = ("--many", str(seeds), "--first", str(self.first), "--until", self.kind)
        where = ("--platform", self.platform)
        command = [sys.executable, "-m", "tests.simulation", *many, *where]
        around = {**os.environ, "PYTHONPATH": str(folder)}
        return subprocess.run(
            command, cwd=folder, env=around, capture_output=True, text=True
        ).stdout
