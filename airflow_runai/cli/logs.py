"""
``airflow runai logs``: where a workload's logs can be read.

Run:ai's REST API has none (no endpoint in any of its descriptions, 2.18 to 2.24); its own command
line and its pages read them from the cluster. So this command only shows where to look.
"""

from __future__ import annotations

import shlex
from argparse import Namespace

from airflow_runai.backends import control_plane, organization
from airflow_runai.backends.organization import Project
from airflow_runai.cli.connections import hook_for
from airflow_runai.cli.exit_codes import UsageError, command
from airflow_runai.cli.output import serialize
from airflow_runai.core.json_merge import JsonMapping, JsonObject
from airflow_runai.core.texts import exact
from airflow_runai.core.workload import Workload
from airflow_runai.errors import RunaiError
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import workload_page


@command
def main(arguments: Namespace) -> int:
    """Print the ways to the logs; exit code 1, because the logs themselves are not shown."""
    hook = hook_for(arguments.conn)
    name = arguments.project or hook.settings.project
    if name is None:
        raise UsageError("--project: missing; the connection names none")
    project = hook.run(organization.find_project(name, hook.settings.cluster))
    workload = hook.run(control_plane.resolve(project, arguments.workload))
    ways = _ways(hook, project, workload)
    text = _text(workload, ways) + "\n"
    if arguments.output in ("json", "yaml"):
        document = {"name": workload.name, "phase": workload.phase, "logs": None, **ways}
        text = serialize(document, arguments.output)
    print(text, end="")
    return 1


def _ways(hook: RunaiHook, project: Project, workload: Workload) -> JsonObject:
    quote = shlex.quote
    runai = f"runai training logs {quote(workload.name)} -p {quote(project.name)}"
    kubectl = f"kubectl logs -n {quote(project.namespace or 'NAMESPACE')}"
    return {
        # Other types of workloads have subcommands of their own.
        "runai": runai if workload.path == "trainings" else None,
        "page": workload_page(hook.settings.url, workload, project.name),
        "kubectl": [f"{kubectl} {quote(pod)}" for pod in _pods(hook, workload)],
    }


def _pods(hook: RunaiHook, workload: Workload) -> list[str]:
    try:
        pods = hook.run(control_plane.pods(workload.id))
        return [exact(pod.get("name"), "pod's name") for pod in pods]
    except RunaiError:
        return []  # the other two ways remain


def _text(workload: Workload, ways: JsonMapping) -> str:
    commands = [line for line in (ways["runai"], *ways["kubectl"]) if line]
    return "\n".join(
        [
            f"{workload.name} ({workload.phase}): Run:ai's REST API has no logs. Read them with",
            *(f"  {line}" for line in commands),
            f"or on {ways['page']}",
        ]
    )
