"""Suspended Jobs by the thousand on a real API server: nothing happens to them until somebody ends one."""

from __future__ import annotations

import re
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timezone
from typing import Any

from airflow_runai.core.manifests import DIALECTS, ManifestRequest, render
from airflow_runai.core.spec import WorkloadSpec
from tests.rig.api import Api
from tests.rig.cluster import Cluster, Options
from tests.rig.waiting import until

#: What the API server counts: how often it was asked, and which watches are open.
_COUNTED = re.compile(
    r"^(?:apiserver_request_total|apiserver_longrunning_requests)\{(?P<labels>.*)\} (?P<value>\S+)$"
)
_LABEL = re.compile(r'(\w+)="([^"]*)"')
#: Of ours; controllers watch all namespaces at once.
_SCOPES = ("namespace", "resource")
_SPEC = {
    "image": "registry.example/train:7",
    "command": "./startup.sh",
    "args": "epochs=30",
    "environment": {"CHECKPOINTS": "/shared/runs/weekly/checkpoints"},
}


def quiet_cluster() -> Cluster:
    """Return a cluster without schedulers of quota; nobody asks for one here."""
    return Cluster(Options(kai=False, jobset=False, kueue=False))


def name_of(number: int) -> str:
    return f"train-{number:010x}-g1"


def create(api: Api, namespace: str, count: int) -> dict[str, str]:
    """Make Jobs as the provider makes them; return uid by name."""

    def make(number: int) -> tuple[str, str]:
        spec = WorkloadSpec.from_mapping(_SPEC)
        request = ManifestRequest(spec, f"train-{number:010x}", 1, namespace)
        job: dict[str, Any] = render(request, DIALECTS["plain"]).workload
        job["spec"]["suspend"] = True
        found = api.create(_jobs(namespace), job)
        return name_of(number), found["metadata"]["uid"]

    with ThreadPoolExecutor(4) as threads:
        made = dict(threads.map(make, range(count)))
    _await_rest(api, namespace)
    return made


def _await_rest(api: Api, namespace: str) -> None:
    """Wait until the Job controller has said of each that it is suspended."""

    def are_suspended() -> bool:
        jobs = api.get(_jobs(namespace))["items"]
        return all(job["status"].get("conditions") for job in jobs)

    until(are_suspended, "the word of the Job controller that it has suspended each Job")


def end(api: Api, namespace: str, name: str) -> float:
    """Complete a Job; return the epoch seconds before the server was asked."""
    moment = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
    since = {"status": "True", "reason": "CompletionsReached", "lastTransitionTime": moment}
    status = {
        "startTime": moment,
        "completionTime": moment,
        "succeeded": 1,
        "conditions": [{"type": kind, **since} for kind in ("SuccessCriteriaMet", "Complete")],
    }
    asked = time.time()
    api.merge(f"{_jobs(namespace)}/{name}/status", {"status": status})
    return asked


def counted(api: Api) -> Counter[str]:
    """Return how many calls about Jobs and pods of one namespace the server has had, by kind."""
    counts: Counter[str] = Counter()
    for line in api.ask("GET", "/metrics").text.splitlines():
        if found := _COUNTED.match(line):
            labels = dict(_LABEL.findall(found["labels"]))
            if labels.get("resource") in ("jobs", "pods") and labels.get("scope") in _SCOPES:
                open_ones = "open " if line.startswith("apiserver_long") else ""
                counts[f"{open_ones}{labels['verb']} {labels['resource']}"] += int(
                    float(found["value"])
                )
    return counts


def _jobs(namespace: str) -> str:
    return f"/apis/batch/v1/namespaces/{namespace}/jobs"
