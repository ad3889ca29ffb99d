"""
A rig of one tiny family: the real builder and, where wanted, the real Go build it in half a second.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.rig.building import Inputs

ROOT = Path(__file__).parents[2]
_MODULE = "sigs.k8s.io/jobset"
_MAIN = """
import sys
from pathlib import Path
from tests.rig.building import Inputs, main
families, cache, go, needs = sys.argv[1:]
sys.exit(main(Inputs(Path(families), Path(cache), go, int(needs), int(needs))))
"""

#: Builds by the real Go. Where the rig is required they run without it, too, and fail.
needs_go = pytest.mark.skipif(
    shutil.which("go") is None and os.environ.get("RUNAI_REQUIRE_RIG") != "1",
    reason="needs Go: https://go.dev/dl/",
)


@dataclass(frozen=True)
class TinyRig:
    """
    A family that is called as a real one, so that its manifests are copied, and has two programs.
    """

    folder: Path

    def __post_init__(self) -> None:
        """Write the sources."""
        tools = "\n".join(f"\t{_MODULE}/{program}" for program in ("jobset", "server"))
        self._write("go.mod", f"module {_MODULE}\n\ngo 1.24\n\ntool (\n{tools}\n)\n")
        self._write("go.sum", "")
        for program in ("jobset", "server"):
            self._write(
                f"{program}/main.go", f'package main\n\nfunc main() {{ print("{program}") }}\n'
            )
        self._write("config/components/crd/bases/jobsets.yaml", "kind: CustomResourceDefinition\n")
        self._write(
            "config/components/webhook/manifests.yaml", "kind: ValidatingWebhookConfiguration\n"
        )

    @property
    def family(self) -> Path:
        return self.folder / "families" / "jobset"

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    def inputs(self, go: str | Path = "go") -> Inputs:
        return Inputs(self.family.parent, self.cache, str(go), result_bytes=0, go_bytes=0)

    def command(
        self, go: str | Path = "go", cache: Path | None = None, needs: int = 0
    ) -> list[str]:
        """Return the command line of a build in a process of its own."""
        words = [self.family.parent, cache or self.cache, go, needs]
        return [sys.executable, "-c", _MAIN, *map(str, words)]

    def main(
        self, go: str | Path = "go", cache: Path | None = None, needs: int = 0, **env: str
    ) -> tuple[int, str]:
        """
        Build in a process of its own; return its exit status and what it wrote to standard error.
        """
        done = subprocess.run(
            self.command(go, cache, needs),
            cwd=ROOT,
            env={**os.environ, **env},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stderr

    def fake_go(self, script: str, version: str = "go version go1.99.0 linux/amd64") -> Path:
        """Write a `go` whose builds are a shell script; ``$*`` are the words behind `build`."""
        fake = self.folder / "fake-go"
        caches = f"printf '%s\\n' {self.folder}/go-build {self.folder}/go-mod"
        cases = f"version) echo {version!r} ;;\nenv) {caches} ;;\nlist) echo {self.family} ;;\nbuild) shift\n{script} ;;"
        fake.write_text(f'#!/bin/sh\ncase "$1" in\n{cases}\nesac\n')
        fake.chmod(0o755)
        return fake

    def left(self) -> list[str]:
        """Return what lies in the cache, apart from the lock."""
        return sorted(path.name for path in self.cache.glob("*") if path.name != "lock")

    def _write(self, name: str, text: str) -> None:
        path = self.family / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def go_version() -> str:
    """Return what the real Go says of itself."""
    return subprocess.run(
        ["go", "version"], capture_output=True, text=True, check=True
    ).stdout.strip()
