"""``RUNAI_RIG_KAI`` puts whatever lies in a folder in the place of KAI's stand-in, here a program that only writes."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.rig.cluster import Cluster, Options, RigError
from tests.rig.extensions import definitions
from tests.rig.parts import Part
from tests.rig.processes import ROOT, Processes, marked
from tests.rig.starting import Starter

pytestmark = [pytest.mark.rig, pytest.mark.slow]
#: Without what KAI does not need.
BARE = Options(jobset=False, kueue=False)
WRITES = """#!/bin/sh
trap 'echo ended >> "$0.log"; kill $!; exit' TERM
echo "$@" >> "$0.log"
echo ready
sleep 600 & wait
"""
WIDGETS = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.org}
spec:
  group: example.org
  scope: Cluster
  names: {kind: Widget, plural: widgets}
  versions:
    - {name: v1, served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in KAI's place, with one kind more than the rig needs."""
    folder = tmp_path / "kai"
    shutil.copytree(ROOT / "tests" / "rig" / "kai" / "crds", folder / "crds")
    (folder / "crds" / "widgets.yaml").write_text(WIDGETS)
    put(folder, WRITES)
    monkeypatch.setenv("RUNAI_RIG_KAI", str(folder))
    return folder


def test_its_kinds_are_applied_its_program_runs_and_ends_by_sigterm(folder: Path) -> None:
    with Cluster(Options(jobset=False, kueue=False, eviction_condition=True)) as cluster:
        asked = f"--kubeconfig {cluster.kubeconfig()}"
        assert cluster.api.get("/apis/example.org/v1/widgets")["kind"] == "WidgetList"
        cluster.set_eviction_condition(False)
        assert said(folder) == [f"{asked} --eviction-condition", "ended", asked]
    assert said(folder)[3:] == ["ended"]


def test_the_command_line_does_the_same_and_remembers_the_folder(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "cluster"
    rig = [sys.executable, "-m", "tests.rig", f"--folder={place}"]
    try:
        subprocess.run([*rig, "up", "--no-jobset", "--no-kueue"], cwd=ROOT, check=True)
        monkeypatch.delenv("RUNAI_RIG_KAI")  # as in another shell
        subprocess.run([*rig, "restart", "kai"], cwd=ROOT, check=True)
    finally:
        subprocess.run([*rig, "down"], cwd=ROOT, check=True)
    assert said(folder) == [f"--kubeconfig {place}/kubeconfigs/admin", "ended"] * 2


@pytest.mark.parametrize(
    ("start", "complaint"),
    [
        (
            "#!/bin/sh\necho no licence; exit 1",
            r"kai ended before it was ready. Its last words:\nno licence$",
        ),
        ("no program at all", r"kai: .*/kai/start cannot be run: Exec format error$"),
    ],
)
def test_a_program_that_does_not_start_is_told_in_a_sentence_and_nothing_is_left(
    start: str, complaint: str, folder: Path, tmp_path: Path
) -> None:
    put(folder, start)
    with pytest.raises(RigError, match=complaint):
        Cluster(BARE, folder=tmp_path / "cluster").start()
    assert marked(tmp_path / "cluster") == []
    assert not (tmp_path / "cluster").exists()


def test_a_program_that_never_says_ready_is_given_up(folder: Path, tmp_path: Path) -> None:
    put(folder, "#!/bin/sh\necho still looking for a licence\nsleep 600")
    processes = Processes(tmp_path)
    try:
        with pytest.raises(
            RigError, match=r"kai is not ready and silent. Its last words:\nstill looking"
        ):
            Starter(processes, silence=0.5).start(Part("kai", [folder / "start"], says="ready"))
    finally:
        processes.stop("kai", grace=0)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ("a: [", "is no YAML: "),
        ("just words", "each document must be a CustomResourceDefinition, not 'just words'$"),
        ("{kind: Widget}", "each document must be a CustomResourceDefinition, not .*'Widget'"),
    ],
)
def test_a_file_that_defines_no_kind_is_named(content: str, complaint: str, folder: Path) -> None:
    (folder / "crds" / "widgets.yaml").write_text(content)
    with pytest.raises(RigError, match=f"/crds/widgets.yaml:? {complaint}"):
        definitions(folder / "crds" / "widgets.yaml")


def test_a_folder_without_the_kind_queue_is_refused(folder: Path) -> None:
    (folder / "crds" / "queues.yaml").unlink()
    with pytest.raises(
        RigError, match=r"/kai/crds: no \*\.yaml in it defines queues.scheduling.run.ai"
    ):
        Cluster(BARE).start()


def put(folder: Path, start: str) -> None:
    (folder / "start").write_text(start)
    (folder / "start").chmod(0o755)


def said(folder: Path) -> list[str]:
    return (folder / "start.log").read_text().splitlines()
