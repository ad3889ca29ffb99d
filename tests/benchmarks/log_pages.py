"""What the faulty server says to who wants a log: project, pods and specification, and a log."""

from __future__ import annotations

import json
from typing import Any

#: Lines of each log; as many as a tail has.
LINES = 100
LOG = "".join(f"step {step}, loss 0.{step:04}, 1.73 it/s\n" for step in range(LINES)).encode()


def log_page(path: str) -> tuple[int, dict[str, str], bytes] | None:
    """Answer a request; ``None`` if it has nothing to do with logs."""
    last = path.rstrip("/").rpartition("/")[2]
    if "/org-unit/projects/" in path:
        return _json({"id": last, "name": "team-0", "clusterId": "c-1"})
    if last == "pods":
        pod = {"name": "train-0-0", "createdAt": "2026-01-01T00:00:00Z", "nodeName": "node-1"}
        return _json({"pods": [pod]})
    if "/workloads/trainings/" in path:
        variables = [{"name": "HF_TOKEN", "value": "hf_abcdefghijklmnop"}]
        return _json({"spec": {"environmentVariables": variables}})
    return None


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"content-type": "application/json"}, json.dumps(value).encode()
