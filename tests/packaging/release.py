"""
Whether a commit can be released: ``python -m tests.packaging.release [TAG]``.

Prints what stands in the way, one problem a line, and changes and publishes nothing.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from airflow_runai import __version__
from tests.house.package import ROOT

#: Top-level domain that is reserved for names that can never exist (RFC 2606).
PLACEHOLDER = re.compile(r"[\w@/:.-]*\w\.invalid\b(?:/[\w/.-]*\w)?")
PUBLISHED = ("pyproject.toml", "*.md", "docs/*.md", "airflow_runai/**/*.py", ".github/**/*.*")


def problems(root: Path, version: str, tag: str | None) -> Iterator[str]:
    """
    Yield what stands in the way of a release.

    :param root: of the checkout.
    :param tag: that starts the release; ``None`` if there is none yet.
    """
    yield from _placeholders(root)
    yield from _changelog(root, version)
    if re.search("[a-z]", version):
        yield f"airflow_runai/__init__.py: {version} is no final version; remove its suffix"
    if tag is not None and tag != f"v{version}":
        yield f"tag: {tag}; the package's version is {version}, so the tag must be v{version}"
    yield from _work_tree(root)


def _placeholders(root: Path) -> Iterator[str]:
    for pattern in PUBLISHED:
        for path in sorted(root.glob(pattern)):
            for number, line in enumerate(path.read_text().splitlines(), 1):
                for found in PLACEHOLDER.findall(line):
                    where = f"{path.relative_to(root)}:{number}"
                    yield f"{where}: {found} is a placeholder; name the real address"


def _changelog(root: Path, version: str) -> Iterator[str]:
    dated = rf"^## {re.escape(version)} \(\d{{4}}-\d{{2}}-\d{{2}}\)$"
    if not re.search(dated, (root / "docs" / "changelog.md").read_text(), re.MULTILINE):
        yield f"docs/changelog.md: no section '## {version} (YYYY-MM-DD)'; give it its date"


def _work_tree(root: Path) -> Iterator[str]:
    status = ["git", "status", "--porcelain"]
    done = subprocess.run(status, cwd=root, capture_output=True, text=True)
    if done.returncode:
        yield "git: this is no checkout; release from a clean clone"
    elif done.stdout:
        changed = ", ".join(line[3:] for line in done.stdout.splitlines()[:5])
        yield f"git: not committed: {changed}; commit or remove it"


def main(arguments: list[str]) -> int:
    """Print the problems; return 0 if there are none."""
    found = list(problems(ROOT, __version__, arguments[0] if arguments else None))
    print(*found or [f"{__version__} can be released"], sep="\n")
    return 1 if found else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
