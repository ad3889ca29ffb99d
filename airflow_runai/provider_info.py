"""The provider's description for Airflow; imported by every Airflow process, so it stays cheap."""

from __future__ import annotations

from typing import Any

from airflow_runai import __version__
from airflow_runai.core.options import OPTIONS, SECTION

_INTEGRATION = "Run:ai"
_PLATFORM = (
    "https://docs.nvidia.com/run-ai/self-hosted/documentation/"
    "workloads-in-nvidia-run-ai/introduction-to-workloads"
)
#: Pages in the repository, as other providers name them.
_GUIDES = "quickstart on-kubernetes connection operators retraining sweeps waiting checkpoints"
#: Modules with public classes, by folder; a test compares them with what is there.
_MODULES = {
    "hooks": "runai",
    "operators": (
        "checkpoint evaluation lifecycle orphans promotion retention rollback study sweep training "
        "trial_end trial_gate"
    ),
    "sensors": "checkpoint quota workload",
    "triggers": "checkpoint halving room workload",
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, valid against Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-runai",
        "name": _INTEGRATION,
        "description": "Unattended, preemptible GPU training on NVIDIA Run:ai and Kubernetes.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": _PLATFORM,
                "how-to-guide": [f"/docs/{page}.md" for page in _GUIDES.split()],
                "logo": "/docs/images/logo.svg",
                "tags": ["service"],
            }
        ],
        **{folder: [_modules(folder, names)] for folder, names in _MODULES.items()},
        "task-decorators": [
            {"class-name": "airflow_runai.decorators.training.runai_task", "name": "runai"}
        ],
        "connection-types": [_connection_type()],
        "extra-links": ["airflow_runai.links.RunaiWorkloadLink"],
        "cli": ["airflow_runai.cli.commands.get_commands"],
        "config": {
            SECTION: {
                "description": "Submission of trainings, and waiting for them.",
                "options": OPTIONS,
            }
        },
    }


def _modules(folder: str, names: str) -> dict[str, Any]:
    return {
        "integration-name": _INTEGRATION,
        "python-modules": [f"airflow_runai.{folder}.{name}" for name in names.split()],
    }


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "runai",
        "hook-class-name": "airflow_runai.hooks.runai.RunaiHook",
        "hook-name": _INTEGRATION,
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "extra"],
            "relabeling": {
                "host": "Control plane URL",
                "login": "Client ID",
                "password": "Client secret",
            },
            "placeholders": {
                "host": "https://org.run.ai",
                "login": "of a service account or access key",
                # Airflow 3.3 cannot test a connection that has none.
                "port": "443; needed by Airflow's test",
            },
        },
        "conn-fields": {
            "project": _field("Default project", "string"),
            "cluster": _field("Cluster (name or id; only if projects share a name)", "string"),
            "project_id": _field("Default project's ID (optional; saves a lookup)", "string"),
            "cluster_id": _field("Cluster ID of that project (goes with its ID)", "string"),
            "verify_ssl": _field("Verify TLS certificates", "boolean", default=True),
            "ca_file": _field("CA file (PEM, on every worker and triggerer)", "string"),
            "timeout": _field("Request timeout (seconds)", "number", default=30),
            "cluster_url": _field("Cluster URL (for logs; if not the cluster's domain)", "string"),
            "kubernetes_conn_id": _field(
                "Connection to the cluster's Kubernetes (optional; tells exit codes)", "string"
            ),
        },
    }


def _field(label: str, json_type: str, **schema: Any) -> dict[str, Any]:
    return {"label": label, "schema": {"type": [json_type, "null"], **schema}}
