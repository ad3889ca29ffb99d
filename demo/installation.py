"""
Installs what demo and tests need, and shows that something happens: ``make install``.

A script for a Python that has nothing installed yet. All that pip says goes into a log.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--progress-bar", "off")
WHAT = ("--constraint", "constraints.txt", "--editable", ".[test]")
#: Packages between two lines where the output is no terminal.
STEP = 50
_LINES_OF_A_FAILURE = 12


def install(command: Sequence[str], log: Path) -> int:
    """
    Run an installation of pip; return its exit code.

    :param log: gets all that it says; named if it fails.
    """
    began, found, said = time.monotonic(), 0, [""]
    print(f"Installing (once, 3 to 7 minutes; details in {log}) …", flush=True)
    with (
        log.open("w") as file,
        subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as pip,
    ):
        for line in pip.stdout or ():
            file.write(line)
            said.append(line.rstrip())
            if line.startswith("Collecting "):
                found += 1
                _show(f"{found} packages found", found % STEP == 0)
            elif line.startswith("Installing collected packages"):
                _show("all found; unpacking them, in silence", True, "\n")
    if pip.returncode:
        print("\n".join(["", *said[-_LINES_OF_A_FAILURE:]]), file=sys.stderr)
        print(f"\nThe installation failed. All that pip said is in {log}.", file=sys.stderr)
    else:
        print(f"  installed in {time.monotonic() - began:.0f} s", flush=True)
    return pip.returncode


def _show(text: str, is_milestone: bool, end: str = "") -> None:
    if sys.stdout.isatty():
        print(f"\r  {text:<40}", end=end, flush=True)
    elif is_milestone:
        print(f"  {text}", flush=True)


if __name__ == "__main__":
    raise SystemExit(install([sys.executable, *PIP, *WHAT], Path(sys.argv[1])))
