"""
The annotation that says what a workload was made from, so that a difference can be named.

The manifest itself would not do: servers add defaults. What could be a secret is a digest here,
because more people may read annotations than containers, and schedulers copy them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from airflow_runai.core.json_merge import JsonObject, canonical
from airflow_runai.core.manifests.sparse import sparse
from airflow_runai.core.mask import hidden
from airflow_runai.core.secrets import digest, has_secret_name, masked
from airflow_runai.core.spec import WorkloadSpec

#: Characters. KAI copies annotations for every pod, and etcd keeps them all.
MAX_LENGTH = 32 * 1024
#: What is longer could hide a secret from a search.
_SEARCHED = 4096
_VARIABLES = ("environmentVariables", "env")


def specification(spec: WorkloadSpec, salt: str) -> str:
    """
    Return the annotation's value: JSON in Run:ai's spelling; empty if it would be too long.

    :param salt: makes digests of the same text differ between workloads.
    """
    whole = {**spec.to_wire(), "kubernetes": spec.for_kubernetes}
    shown = _without_secrets(canonical(sparse(**whole)), salt)
    text = json.dumps(shown, separators=(",", ":"))
    return text if len(text) <= MAX_LENGTH else ""


def _without_secrets(value: Any, salt: str, name: str = "") -> Any:
    if isinstance(value, Mapping):
        return _mapping_without_secrets(value, salt)
    if isinstance(value, list):
        listed = [_without_secrets(entry, salt, name) for entry in value]
        return [_variable(entry, salt) for entry in listed] if name in _VARIABLES else listed
    if isinstance(value, str) and (has_secret_name(name) or _may_be_secret(value)):
        return digest(value, salt)
    return value


def _mapping_without_secrets(value: Mapping[str, Any], salt: str) -> JsonObject:
    # An entry of a list with names: the name says what the value is.
    named = {"value": str(value.get("name", ""))}
    return {key: _without_secrets(entry, salt, named.get(key, key)) for key, entry in value.items()}


def _variable(entry: Any, salt: str) -> Any:
    if isinstance(entry, Mapping) and isinstance(entry.get("value"), str):
        return {**entry, "value": digest(entry["value"], salt)}
    return entry


def _may_be_secret(text: str) -> bool:
    return len(text) > _SEARCHED or hidden(text) != text or masked(text) != text
