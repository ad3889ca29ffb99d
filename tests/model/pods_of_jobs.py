"""The pods that a Job asks for."""

from __future__ import annotations

import copy

from tests.model.deletion import TRACKING
from tests.model.resources import Object

INDEX = "batch.kubernetes.io/job-completion-index"


def controlled_by(pod: Object) -> str:
    """Return the uid of the Job that controls a pod; empty without one."""
    owners = pod["metadata"].get("ownerReferences") or ()
    return next((one["uid"] for one in owners if one.get("controller")), "")


def made_for(job: Object, index: int | None, number: int) -> Object:
    """Make a pod from a Job's template; ``number`` tells its name from the others'."""
    metadata, template = job["metadata"], copy.deepcopy(job["spec"]["template"])
    labels = {
        "batch.kubernetes.io/controller-uid": metadata["uid"],
        "batch.kubernetes.io/job-name": metadata["name"],
        "job-name": metadata["name"],
    }
    own = template.get("metadata") or {}
    annotations = dict(own.get("annotations") or {})
    for container in template["spec"]["containers"]:
        amount = container.setdefault("resources", {})
        amount["requests"] = {**(amount.get("limits") or {}), **(amount.get("requests") or {})}
    middle = ""
    if index is not None:
        annotations[INDEX] = labels[INDEX] = str(index)
        middle = f"-{index}"
    return {
        "metadata": {
            "name": f"{metadata['name']}{middle}-{number:05x}",
            "namespace": metadata["namespace"],
            "labels": {**(own.get("labels") or {}), **labels},
            "annotations": annotations,
            "finalizers": [TRACKING],
            "ownerReferences": [
                {
                    "apiVersion": "batch/v1",
                    "kind": "Job",
                    "name": metadata["name"],
                    "uid": metadata["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": {"terminationGracePeriodSeconds": 30, **template["spec"]},
        "status": {"phase": "Pending"},
    }
