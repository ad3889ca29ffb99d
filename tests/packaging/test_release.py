"""The check before a release refuses placeholders, a changelog without a date, another tag and what is not committed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

import airflow_runai
from tests.house.package import ROOT
from tests.packaging.release import problems

DATED = "# Changelog\n\n## 1.2.0 (2026-11-27)\n\n## 1.1.0 (2026-11-22)\n"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A clean clone of a project that is ready."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "changelog.md").write_text(DATED)
    (tmp_path / "pyproject.toml").write_text('Source = "https://example.org/project"\n')
    who = ["-c", "user.name=A", "-c", "user.email=a@example.org"]
    for words in (["init", "-q"], ["add", "."], [*who, "commit", "-q", "-m", "Begin"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    return tmp_path


@pytest.mark.parametrize("tag", [None, "v1.2.0"])
def test_what_is_ready_has_no_problem(checkout: Path, tag: str | None) -> None:
    assert list(problems(checkout, "1.2.0", tag)) == []


def test_each_problem_is_named_with_its_place(checkout: Path) -> None:
    (checkout / "pyproject.toml").write_text('a = 1\nSource = "https://source.invalid/project"\n')
    (checkout / "SECURITY.md").write_text("Write to security@project.invalid.\n")
    assert list(problems(checkout, "1.3.0rc1", "v1.3.0")) == [
        "pyproject.toml:2: https://source.invalid/project is a placeholder; name the real address",
        "SECURITY.md:1: security@project.invalid is a placeholder; name the real address",
        "docs/changelog.md: no section '## 1.3.0rc1 (YYYY-MM-DD)'; give it its date",
        "airflow_runai/__init__.py: 1.3.0rc1 is no final version; remove its suffix",
        "tag: v1.3.0; the package's version is 1.3.0rc1, so the tag must be v1.3.0rc1",
        "git: not committed: pyproject.toml, SECURITY.md; commit or remove it",
    ]


def test_only_a_checkout_can_be_released(tmp_path: Path) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "changelog.md").write_text(DATED)
    assert list(problems(tmp_path, "1.2.0", None)) == [
        "git: this is no checkout; release from a clean clone"
    ]


def test_this_project_waits_for_its_addresses_and_a_date_only() -> None:
    found = list(problems(ROOT, airflow_runai.__version__, None))
    others = [problem for problem in found if "placeholder" not in problem]
    assert [
        problem for problem in others if not problem.startswith(("docs/changelog", "git"))
    ] == []
