"""
The options of Airflow's configuration section ``[runai]``: meanings and defaults.

Pure data, because Airflow asks for it while it is itself still reading its configuration.
"""

from __future__ import annotations

from typing import Any

SECTION = "runai"

OPTIONS: dict[str, dict[str, Any]] = {
    "instance_name": {
        "description": "Name of this Airflow installation; part of the hash in every workload's "
        "name, so that two installations can share a Run:ai project. Empty: a name that Airflow "
        "makes once and keeps in its database, as the variable `runai_instance_name`. Tasks that "
        "have begun keep the name under which they did.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "prod",
        "default": "",
    },
    "poll_interval": {
        "description": "Seconds between two looks at a workload, where the operator does not say.",
        "version_added": "0.1.0",
        "type": "float",
        "example": None,
        "default": "30",
    },
    "submission_patience": {
        "description": "Seconds for which a submission tries again while the control plane does "
        "not answer or asks to slow down, before the try fails.",
        "version_added": "0.1.0",
        "type": "float",
        "example": None,
        "default": "600",
    },
    "min_defer_seconds": {
        "description": "A trigger never fires earlier than this many seconds after it started, "
        "because Airflow 3.3 can fail a task whose trigger fires within seconds of its deferral.",
        "version_added": "0.1.0",
        "type": "float",
        "example": None,
        "default": "10",
    },
    "workload_url": {
        "description": "Address of a workload's page; {url}, {name}, {id} and {project} are filled "
        "in.",
        "version_added": "0.1.0",
        "type": "string",
        "example": None,
        "default": "{url}/workloads?search={name}",
    },
    "template_folder": {
        "description": "Folder with YAML templates, on every worker and where DAGs are parsed; "
        "empty: none. The one called `admin` applies to every training.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "/opt/airflow/runai-templates",
        "default": "",
    },
    "digest_seconds": {
        "description": "Seconds for which interruptions of a workload are gathered into one "
        "message for `on_interruption`, and its resumptions for `on_resume`; 0: each is told at "
        "once.",
        "version_added": "0.1.0",
        "type": "float",
        "example": None,
        "default": "60",
    },
    "long_queue_seconds": {
        "description": "Seconds of waiting for GPUs, the first time or after an interruption, "
        "after which `on_long_queue` is called.",
        "version_added": "0.1.0",
        "type": "float",
        "example": None,
        "default": "3600",
    },
    "lint_ignore": {
        "description": "Codes of lint rules that are not reported for any task, separated by "
        "commas.",
        "version_added": "0.1.0",
        "type": "string",
        "example": "backoff-times-retries, image-moves",
        "default": "",
    },
    "tab": {
        "description": "Whether task instances have the tab *Run:ai*. Airflow cannot offer it for "
        "some tasks only. The API server reads this when it starts.",
        "version_added": "0.1.0",
        "type": "boolean",
        "example": None,
        "default": "True",
    },
}
