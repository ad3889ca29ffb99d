"""The roles in `docs/rbac`, granted by the real API server, allow what their table says and no more."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TypeVar

import pytest

from airflow_runai.backends import access, drivers
from airflow_runai.backends.kubernetes.api import rights
from airflow_runai.backends.kubernetes.api.rights import Right
from airflow_runai.backends.kubernetes.least_rights import (
    NEEDS,
    TRIGGERER,
    WORKER,
    granted,
)
from airflow_runai.core.flow import Flow
from airflow_runai.core.manifests import DIALECTS
from docs.rights_table import AIRFLOW, TRAININGS
from tests.rig.cluster import Cluster
from tests.rig.processes import ROOT

pytestmark = [pytest.mark.rig, pytest.mark.slow]
T = TypeVar("T")
KUBECTL = Path(sys.executable).with_name("kubectl")
VERBS = ("get", "list", "watch", "create", "patch", "update", "delete", "deletecollection")


@pytest.fixture(scope="module", params=list(DIALECTS))
def place(request: pytest.FixtureRequest, rig_cluster: Cluster) -> tuple[str, str]:
    """Grant the roles of a dialect in a namespace of its own; return both."""
    dialect: str = request.param
    namespace = f"rights-{dialect}"
    rig_cluster.add_namespace(namespace)
    text = (ROOT / "docs" / "rbac" / f"{dialect}.yaml").read_text()
    # Cluster roles have no namespace, and those of other dialects are still there.
    mine = text.replace(TRAININGS, namespace).replace(f"{AIRFLOW}-runai-", f"{namespace}-")
    mine = mine.replace(f"namespace: {AIRFLOW}\n", f"namespace: {namespace}\n")
    command = [str(KUBECTL), "--kubeconfig", str(rig_cluster.kubeconfig()), "apply", "-f", "-"]
    subprocess.run(command, input=mine, text=True, check=True, stdout=subprocess.DEVNULL)
    return dialect, namespace


@pytest.mark.parametrize("who", [WORKER, TRIGGERER])
def test_all_that_is_needed_is_allowed_and_nothing_else(
    rig_cluster: Cluster, place: tuple[str, str], who: str
) -> None:
    dialect, namespace = place
    needed = {need.kind: set(verbs) for need, verbs in granted(dialect, who)}
    asked = [Right(need.kind, VERBS) for need in NEEDS]
    lacking = _as(rig_cluster, namespace, who, rights.missing(namespace, asked))
    refused = {right.kind: set(right.verbs) for right in lacking}
    for need in NEEDS:
        allowed = set(VERBS) - refused.get(need.kind, set())
        assert allowed == needed.get(need.kind, set()), need.kind.resource


def _as(cluster: Cluster, namespace: str, who: str, flow: Flow[T]) -> T:
    """Drive a flow as a service account."""
    site = access.ClusterAccess(
        cluster.site.server,
        f"Bearer {cluster.api.token}",
        access.read_certificates(str(cluster.site.authority)),
    )
    with access.client(site, lambda: site) as client:
        client.headers["Impersonate-User"] = f"system:serviceaccount:{namespace}:{AIRFLOW}-{who}"
        client.headers["Impersonate-Group"] = "system:authenticated"
        return drivers.run(flow, client)
