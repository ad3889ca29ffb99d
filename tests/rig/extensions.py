"""
JobSet and Kueue as the API server sees them: their kinds, and the webhooks that it asks before it stores an object.

The manifests come from the programs' own modules. Only the address differs: a URL on loopback
instead of a Service.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.rig.api import Api, ApiError, Object, name_of
from tests.rig.waiting import RigError

__all__ = ["apply_kinds", "apply_webhooks", "definitions", "served"]

#: Kueue converts these between its versions; the others have one version only (rig.md).
CONVERTED = ("localqueues", "clusterqueues", "cohorts", "workloads", "multikueueclusters")
#: The kinds whose webhooks are kept. Kueue's for pods would be asked about every pod; JobSet's
#: serve exclusive placement.
ASKED = {
    "jobset": {"jobsets"},
    "kueue": {"jobs", "jobsets", "clusterqueues", "cohorts", "resourceflavors", "workloads"},
}
KINDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
DEFINITION = "CustomResourceDefinition"
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
#: The C loader reads the 12 files in 0.2 s, the other one in 3.
LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def apply_kinds(
    api: Api, files: Iterable[Path], converter: Mapping[str, Any] | None = None
) -> list[Object]:
    """
    Make custom resource definitions.

    :param converter: the ``clientConfig`` of the webhook that converts those of Kueue's kinds that
        have two versions.
    """
    made = []
    for file in files:
        for kind in definitions(file):
            if converter and kind["spec"]["names"]["plural"] in CONVERTED:
                webhook = {"clientConfig": dict(converter), "conversionReviewVersions": ["v1"]}
                kind["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
            kind.pop("status", None)
            made.append(api.apply(KINDS, kind))
    return made


def definitions(file: Path) -> list[Object]:
    """
    Read custom resource definitions.

    :raises RigError: if a file holds anything else.
    """
    try:
        documents = [one for one in yaml.load_all(file.read_text(), LOADER) if one is not None]
    except yaml.YAMLError as error:
        raise RigError(f"{file} is no YAML: {error}") from None
    for document in documents:
        if not isinstance(document, dict) or document.get("kind") != DEFINITION:
            raise RigError(
                f"{file}: each document must be a {DEFINITION}, not {str(document)[:100]!r}"
            )
    return documents


def served(api: Api, kind: Object) -> bool:
    """Tell whether a kind is established and its collections answer; it takes the server about a second."""
    now = api.get(f"{KINDS}/{name_of(kind)}")
    conditions = (now.get("status") or {}).get("conditions") or []
    if not any(one["type"] == "Established" and one["status"] == "True" for one in conditions):
        return False
    spec = kind["spec"]
    versions = [version["name"] for version in spec["versions"] if version["served"]]
    return all(
        _answers(api, f"/apis/{spec['group']}/{version}/{spec['names']['plural']}")
        for version in versions
    )


def apply_webhooks(api: Api, family: str, manifest: Path, port: int, authority: bytes) -> None:
    """Point the API server to the webhooks of a program; from then on it must answer, or nothing can be created."""
    for configuration in yaml.load_all(manifest.read_text(), LOADER):
        hooks = [hook for hook in configuration["webhooks"] if _kinds(hook) & ASKED[family]]
        if not hooks:
            continue
        for hook in hooks:
            path = hook["clientConfig"]["service"]["path"]
            hook["clientConfig"] = client_config(port, path, authority)
        plural = f"{configuration['kind'].lower()}s"
        configuration["metadata"] = {"name": f"{family}-{_phase(plural)}-webhook-configuration"}
        api.apply(f"{ADMISSION}/{plural}", configuration | {"webhooks": hooks})


def client_config(port: int, path: str, authority: bytes) -> Object:
    """Say where a webhook listens and who signed its certificate."""
    return {
        "url": f"https://127.0.0.1:{port}{path}",
        "caBundle": base64.b64encode(authority).decode(),
    }


def _answers(api: Api, collection: str) -> bool:
    try:
        api.get(collection, limit="1")
    except ApiError:
        return False
    return True


def _kinds(hook: Object) -> set[str]:
    return {resource for rule in hook["rules"] for resource in rule["resources"]}


def _phase(plural: str) -> str:
    return "mutating" if plural.startswith("mutating") else "validating"
