"""Requests for tests: one task's first generation in a namespace of team-a."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from airflow_runai.core.manifests import (
    DIALECTS,
    ClusterTerms,
    ManifestRequest,
    Manifests,
    origin_labels,
    render,
)
from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.errors import SpecError

BASE = "train-0123456789"
TERMS = ClusterTerms(node_type_label="example.com/gpu", git_image="registry.example/git:2")
SEVERAL: dict[str, Any] = {"distributed": {"framework": "PyTorch", "workers": 2}}
#: A specification of each kind of object.
KINDS: dict[str, dict[str, Any]] = {"Job": {}, "JobSet": SEVERAL}


def request_of(source: dict[str, Any], **more: Any) -> ManifestRequest:
    spec = WorkloadSpec.from_mapping({"image": "registry.example/train:1", **source})
    given: dict[str, Any] = {
        "generation": 1,
        "namespace": "team-a",
        "queue": "team-a",
        "labels": origin_labels("nightly", "train", "manual__2026-11-27T00:00:00+00:00", 1),
        "terms": TERMS,
        **more,
    }
    return ManifestRequest(spec, BASE, **given)


def manifests(source: dict[str, Any], dialect: str = "kai", **more: Any) -> Manifests:
    return render(request_of(source, **more), DIALECTS[dialect])


def workload(source: dict[str, Any], dialect: str = "kai", **more: Any) -> dict[str, Any]:
    return manifests(source, dialect, **more).workload


def pods(made: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the pod templates of a Job or JobSet."""
    is_set = made["kind"] == "JobSet"
    jobs = [one["template"] for one in made["spec"]["replicatedJobs"]] if is_set else [made]
    return [job["spec"]["template"] for job in jobs]


def variables(pod: dict[str, Any]) -> dict[str, Any]:
    (main,) = pod["spec"]["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in main["env"]}


def problems(source: dict[str, Any], dialect: str = "kai", **more: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        manifests(source, dialect, **more)
    return caught.value.problems


def flat(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the path of each value; lists have no index."""
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from flat(entry, f"{path}.{key}".strip("."))
    elif isinstance(value, list) and value:
        for entry in value:
            yield from flat(entry, path)
    else:
        yield path, value


def changed_paths(before: Manifests, after: Manifests) -> set[str]:
    """Return where two results differ, besides what says what they were made from."""
    first, second = (
        Counter(
            (path, repr(value))
            for path, value in flat({**made.workload, "claim": list(made.claims)})
        )
        for made in (before, after)
    )
    differing = {path for path, _ in (first - second) + (second - first)}
    return {
        path for path in differing if not path.startswith("metadata.annotations.airflow-runai/")
    }
