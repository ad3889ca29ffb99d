"""`make install` shows progress, and on a failure says in one sentence where the rest is."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from demo.installation import install

SAYS = """
import sys
for number in range(120):
    print("Collecting package", number)
    print("  Downloading", number)
print("Installing collected packages: many")
print("ERROR: no space left")
sys.exit(int(sys.argv[1]))
"""


@pytest.mark.parametrize("code", [0, 1])
def test_progress_and_failure(
    code: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "install.log"
    assert install([sys.executable, "-c", SAYS, str(code)], log) == code
    said = capsys.readouterr()
    assert "  50 packages found\n  100 packages found\n  all found" in said.out
    assert "Downloading 119" in log.read_text()
    if code:
        assert "ERROR: no space left" in said.err
        assert said.err.endswith(f"The installation failed. All that pip said is in {log}.\n")
    else:
        assert "installed in" in said.out
        assert said.err == ""
