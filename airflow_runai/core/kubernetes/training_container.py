"""The training's container in a Job or JobSet, and the variables that it carries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_runai.core.kubernetes.objects import at, rows, word
from airflow_runai.core.pod_spec import MAIN


def training_container(found: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the training's container; of a set, that of its last member; or an empty one."""
    members = list(rows(found, "spec", "replicatedJobs"))
    spec = at(members[-1], "template", "spec") if members else at(found, "spec")
    containers = list(rows(spec, "template", "spec", "containers"))
    named = (one for one in containers if word(one, "name") == MAIN)
    return next(named, containers[0] if containers else {})


def own_variables(found: Mapping[str, Any]) -> dict[str, str]:
    """Return the variables of the training's container that hold a text."""
    listed = rows(training_container(found), "env")
    return {word(one, "name"): word(one, "value") for one in listed if "value" in one}
