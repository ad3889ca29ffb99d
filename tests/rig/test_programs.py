"""Which programs the rig consists of, and where they lie."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.rig.building import Inputs, programs


def test_the_cache_lies_where_the_user_wants_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert Inputs().cache == tmp_path / "airflow-provider-runai" / "rig"
    monkeypatch.setenv("RUNAI_RIG_CACHE", str(tmp_path / "own"))
    assert Inputs().cache == tmp_path / "own"


def test_versions_are_exact_and_nothing_is_replaced() -> None:
    families = sorted(Inputs().families.glob("*/go.mod"))
    assert [family.parent.name for family in families] == ["controlplane", "jobset", "kueue"]
    for family in families:
        assert not re.search(r"^\s*(replace|exclude|toolchain)\b", family.read_text(), re.M)
        assert family.with_name("go.sum").stat().st_size


@pytest.mark.rig
def test_the_rig_has_all_its_programs_and_they_know_their_version() -> None:
    built = programs()
    assert built
    for program in (
        "etcd",
        "kube-apiserver",
        "kube-controller-manager",
        "kube-scheduler",
        "jobset",
        "kueue",
    ):
        assert os.access(built.path(program), os.X_OK)
    wanted = re.search(
        r"k8s\.io/kubernetes (v\S+)", (Inputs().families / "controlplane/go.mod").read_text()
    )
    said = subprocess.run(
        [built.path("kube-apiserver"), "--version"], capture_output=True, text=True, check=True
    )
    assert wanted
    assert said.stdout == f"Kubernetes {wanted[1]}\n"
    assert [len(built.crds(family)) for family in ("jobset", "kueue")] == [1, 11]
    assert all(built.webhooks(family).read_text() for family in ("jobset", "kueue"))
