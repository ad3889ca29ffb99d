"""A newcomer who types what the page on contributing says gets to see what it says."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.rig.processes import ROOT, marked, sweep

pytestmark = [pytest.mark.rig, pytest.mark.slow]
SECTION = re.compile(r"^## The rig\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where the page's cluster lies here, so that it meets no other."""
    yield tmp_path / "rig"
    sweep(tmp_path / "rig")


def test_every_command_of_the_page_works_one_after_the_other(folder: Path) -> None:
    section = SECTION.search((ROOT / "docs" / "contributing.md").read_text())
    assert section is not None
    commands = "".join(BLOCK.findall(section[1]))
    assert len(re.findall("^kubectl ", commands, re.MULTILINE)) >= 10
    here = commands.replace("-m tests.rig", f"-m tests.rig --folder {folder}").replace(
        ".rig/", f"{folder}/"
    )
    here = here.replace("make rig\n", "").replace(
        "$PWD/.venv/bin", str(Path(sys.executable).parent)
    )
    done = subprocess.run(["bash", "-euxc", here], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    for seen in ("begin\nend\n", "pg-kai-", "job-kueue-", "jobset +Completed", "jobs.batch"):
        assert re.search(seen, done.stdout)
    assert marked(folder) == []
