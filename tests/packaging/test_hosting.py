"""Files for hosts of repositories and for editors: valid, and in step with the project."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.house.package import ROOT

WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yaml"))
PROJECT = (ROOT / "pyproject.toml").read_text()


def load(path: Path) -> Any:
    # YAML 1.1 takes `on` for true.
    return yaml.load(path.read_text(), Loader=yaml.BaseLoader)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "files"),
    [
        ("github-workflows", "workflows/*.yaml"),
        ("github-issue-forms", "ISSUE_TEMPLATE/[!c]*.yml"),
        ("github-issue-config", "ISSUE_TEMPLATE/config.yml"),
    ],
)
def test_files_are_valid_by_the_hosts_schema(schema: str, files: str) -> None:
    found = [str(path) for path in sorted((ROOT / ".github").glob(files))]
    assert found
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", f"vendor.{schema}"]
    done = subprocess.run([*command, *found], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_workflows_call_what_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    for path in WORKFLOWS:
        text = path.read_text()
        called = re.findall(r"run: make ([a-z-]+)", text)
        assert called, path.name
        assert set(called) <= targets, path.name
        for module in re.findall(r"python -m (tests[\w.]+)", text):
            assert (ROOT / (module.replace(".", "/") + ".py")).is_file(), module
        assert "Not run" in text.splitlines()[0], f"{path.name}: say what of it has run"


def test_the_matrix_has_every_python_that_the_metadata_promise() -> None:
    promised = re.findall(r"Programming Language :: Python :: (3\.\d+)", PROJECT)
    jobs = load(ROOT / ".github" / "workflows" / "ci.yaml")["jobs"]
    for name in ("wheel", "sdist"):
        assert jobs[name]["strategy"]["matrix"]["python"] == promised
    others = set(jobs) - {"gate"}
    assert set(jobs["gate"]["needs"]) == others


def test_only_the_job_that_publishes_may_speak_for_the_project() -> None:
    for path in WORKFLOWS:
        workflow = load(path)
        assert workflow["permissions"] == {"contents": "read"}
        for name, job in workflow["jobs"].items():
            allowed = {"id-token": "write"} if name == "publish" else None
            assert job.get("permissions") == allowed, f"{path.name}: {name}"


def test_hooks_run_what_make_lint_runs() -> None:
    hooks = load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
    entries = " ".join(hook["entry"] for hook in hooks)
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    programs = re.findall(r"\$\(BIN\)/([\w-]+)", lint)
    assert programs
    assert [name for name in programs if f".venv/bin/{name}" not in entries] == []


@pytest.mark.parametrize(
    ("message", "refused"),
    [
        (
            "Say why\n\n" + "a line of the body that is longer than seventy-two characters " * 2,
            False,
        ),
        ("x" * 72, False),
        ("x" * 73 + "\n\nWhy.", True),
        ("Merge branch " + "x" * 80, False),
    ],
)
def test_long_subjects_are_refused(message: str, refused: bool) -> None:
    (hook,) = [
        hook
        for hook in load(ROOT / ".pre-commit-config.yaml")["repos"][0]["hooks"]
        if hook["id"] == "commit-subject"
    ]
    assert hook["args"] == ["--multiline"]
    # As pre-commit compiles a pattern with --multiline.
    assert bool(re.search(hook["entry"], message, re.MULTILINE | re.DOTALL)) is refused
