"""
``airflow runai logs``: where a workload's logs can be read.

Run:ai's REST API has none (no endpoint in any of its descriptions, 2.18 to 2.24); its own command
line and its pages take them from the cluster. So this command says where to look, and invents
nothing.
"""

from __future__ import annotations

import shlex
from argparse import Namespace
from typing import Any

from airflow_runai.backends import control_plane, organization
from airflow_runai.cli.connections import hook_for
from airflow_runai.cli.exit_codes import UsageError, command
from airflow_runai.cli.output import serialize
from airflow_runai.core.texts import exact
from airflow_runai.core.workload import Workload
from airflow_runai.errors import RunaiError
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import workload_page


@command
def main(arguments: Namespace) -> int:
    """Print the ways to the logs; exit code 1, because the logs themselves were not shown."""
    hook = hook_for(arguments.conn)
    named = arguments.project or hook.settings.project
    if named is None:
        raise UsageError("--project: missing; the connection names none")
    place = hook.run(organization.find_project(named, hook.settings.cluster))
    workload = hook.run(control_plane.resolve(place, arguments.workload))
    words = f"runai training logs {shlex.quote(workload.name)} -p {shlex.quote(place.name)}"
    ways = {
        "runai": words if workload.path == "trainings" else None,  # others have verbs of their own
        "page": workload_page(hook.settings.url, workload, place.name),
        "kubectl": [
            f"kubectl logs -n {shlex.quote(place.namespace or 'NAMESPACE')} {shlex.quote(pod)}"
            for pod in _pods(hook, workload)
        ],
    }
    if arguments.output in ("json", "yaml"):
        print(
            serialize(
                {"name": workload.name, "phase": workload.phase, "logs": None, **ways},
                arguments.output,
            ),
            end="",
        )
    else:
        print(_words(workload, ways))
    return 1


def _pods(hook: RunaiHook, workload: Workload) -> list[str]:
    try:
        return [
            exact(pod.get("name"), "pod's name")
            for pod in hook.run(control_plane.pods(workload.id))
        ]
    except RunaiError:
        return []


def _words(workload: Workload, ways: dict[str, Any]) -> str:
    return "\n".join(
        [
            f"{workload.name} ({workload.phase}): Run:ai's REST API has no logs. Read them with",
            *(f"  {line}" for line in (ways["runai"], *ways["kubectl"]) if line),
            f"or on {ways['page']}",
        ]
    )
