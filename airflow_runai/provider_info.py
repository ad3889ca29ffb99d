"""
What Airflow's provider discovery asks for.

Imported by every Airflow process: it must stay cheap.
"""

from __future__ import annotations

from typing import Any

from airflow_runai import __version__
from airflow_runai.core.options import OPTIONS, SECTION

_INTEGRATION = "Run:ai"


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, valid against Airflow's ``provider_info.schema.json``."""
    return {
        "package-name": "airflow-provider-runai",
        "name": _INTEGRATION,
        "description": "Unattended, preemptible GPU training on NVIDIA Run:ai.",
        "versions": [__version__],
        "integrations": [
            {
                "integration-name": _INTEGRATION,
                "external-doc-url": "https://docs.run.ai/",
                "tags": ["service"],
            }
        ],
        "hooks": [_modules("hooks", "runai")],
        "operators": [
            _modules(
                *(
                    "operators",
                    "training",
                    "lifecycle",
                    "checkpoint",
                    "evaluation",
                    "promotion",
                    "retention",
                    "reaping",
                )
            )
        ],
        "sensors": [_modules("sensors", "workload", "checkpoint")],
        "triggers": [_modules("triggers", "workload", "checkpoint")],
        "connection-types": [_connection_type()],
        "extra-links": ["airflow_runai.links.RunaiWorkloadLink"],
        "cli": ["airflow_runai.cli.commands.get_commands"],
        "config": {
            SECTION: {"description": "Submission to and waiting for Run:ai.", "options": OPTIONS}
        },
    }


def _modules(room: str, *names: str) -> dict[str, Any]:
    return {
        "integration-name": _INTEGRATION,
        "python-modules": [f"airflow_runai.{room}.{name}" for name in names],
    }


def _connection_type() -> dict[str, Any]:
    return {
        "connection-type": "runai",
        "hook-class-name": "airflow_runai.hooks.runai.RunaiHook",
        "hook-name": _INTEGRATION,
        "ui-field-behaviour": {
            "hidden-fields": ["schema", "port", "extra"],
            "relabeling": {
                "host": "Control plane URL",
                "login": "Client ID",
                "password": "Client secret",
            },
            "placeholders": {
                "host": "https://org.run.ai",
                "login": "of a service account or access key",
            },
        },
        "conn-fields": {
            "project": _field("Default project", "string"),
            "cluster": _field("Cluster (name or id; only if projects share a name)", "string"),
            "verify_ssl": _field("Verify TLS certificates", "boolean", default=True),
            "ca_file": _field("CA file (PEM, on every worker and triggerer)", "string"),
            "timeout": _field("Request timeout (seconds)", "number", default=30),
        },
    }


def _field(label: str, kind: str, **more: Any) -> dict[str, Any]:
    return {"label": label, "schema": {"type": [kind, "null"], **more}}
