"""
The commands of ``airflow runai``: names, options, help texts.

Plain data, because Airflow reads it at every start of ``airflow``: nothing is imported but the
standard library. ``commands.py`` hands it to Airflow; the documentation is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HELP = "Unattended, preemptible training on Run:ai or Kubernetes"


@dataclass(frozen=True)
class CliOption:
    """
    One argument of a command.

    :param flags: its spellings; a single word without hyphen is positional.
    :param more: further keyword arguments of ``argparse``.
    """

    flags: tuple[str, ...]
    help: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CliCommand:
    """
    One command.

    :param has_own_parser: it parses its arguments itself, all of them.
    """

    name: str
    help: str
    options: tuple[CliOption, ...]
    description: str = ""
    has_own_parser: bool = False

    @property
    def module(self) -> str:
        """File in this folder whose ``main`` runs the command."""
        return self.name.replace("-", "_")


_REST = {"nargs": "..."}  # argparse.REMAINDER: options of the line are not options of the command
_OPTIONAL = {"nargs": "?"}
_REPEATABLE = {"action": "append", "default": []}
_SWITCH = {"action": "store_true"}
_FORMATS = ("table", "json", "yaml", "plain")

_OUTPUT = CliOption(
    ("-o", "--output"),
    "Output format. Allowed values: json, yaml, plain, table (default: table)",
    {"metavar": f"({', '.join(_FORMATS)})", "choices": _FORMATS, "default": "table"},
)
_DAG = CliOption(("dag_id",), "The id of the dag")
_TASK = CliOption(("task_id",), "The id of the task")
_ANY_DAG = CliOption(("dag_id",), "The id of the dag", _OPTIONAL)
_ANY_TASK = CliOption(("task_id",), "The id of the task", _OPTIONAL)
_BUNDLE = CliOption(
    ("-B", "--bundle-name"), "DAG bundle to look into; may be given more than once", _REPEATABLE
)
_FOLDER = CliOption(
    ("-S", "--dags-folder"), "File or folder with DAGs, instead of the configured bundles"
)
_CONNECTION = "Connection of type runai or kubernetes"
_CONN = CliOption(
    ("--conn",), f"{_CONNECTION} (default: runai_default)", {"default": "runai_default"}
)
_ANY_CONN = CliOption(("--conn",), f"{_CONNECTION} (default: the task's, else runai_default)")
_PROJECT = CliOption(("--project",), "Project, on Kubernetes a queue (default: the connection's)")
_LINE = CliOption(("--line",), "A `runai submit …` line, quoted as one word")
_SPEC = CliOption(("--spec",), "YAML file with a specification")
_TARGET = (_ANY_DAG, _ANY_TASK, _LINE, _SPEC, _BUNDLE, _FOLDER)

FORMS = ("operator", "yaml", "line", "json")

_TRANSLATE = CliCommand(
    "translate",
    "Turn a `runai submit` line into operator code, specification YAML, a CLI v2 line or REST JSON",
    (
        CliOption(("line",), "The line as you would type it, or - for standard input", _REST),
        CliOption(
            ("--to",),
            f"Form(s): {', '.join(FORMS)}, all (default: operator); goes before the line",
            {"choices": (*FORMS, "all"), "default": "operator"},
        ),
        _OUTPUT,
    ),
)
_RENDER = CliCommand(
    "render",
    "Show the effective specification of a task, and which layer set each key",
    (_DAG, _TASK, _BUNDLE, _FOLDER, _OUTPUT),
    "Show the effective specification of a task, and which layer set each key: admin defaults, "
    "templates, command line, spec. Jinja is not rendered; possible secrets are masked. Needs "
    "neither a database nor a control plane.",
)
_LINT = CliCommand(
    "lint",
    "Find what would not survive a preemption, before any GPU is used",
    (
        *_TARGET,
        CliOption(
            ("--script",),
            "The start-up script; of files beside it, names and requirements*.txt are read",
        ),
        CliOption(("--checkpoints",), "Folder with checkpoints, to learn how long a save takes"),
        CliOption(
            ("--conn",),
            f"{_CONNECTION}, to learn the project's GPU limit (default: not asked)",
        ),
        _PROJECT,
        CliOption(
            ("--ignore",), "Code of a finding to ignore; may be given more than once", _REPEATABLE
        ),
        _OUTPUT,
    ),
)
_DRY_RUN = CliCommand(
    "dry-run",
    "Check everything that the platform can answer without creating anything",
    (
        *_TARGET,
        CliOption(
            ("--run-id",),
            "DAG run to check for: completes the name, so that existing workloads are found",
        ),
        CliOption(
            ("--map-index",),
            "Index of a mapped task (default: -1)",
            {"type": int, "default": -1},
        ),
        _ANY_CONN,
        _PROJECT,
        _OUTPUT,
    ),
    "Check everything that the platform can answer without creating anything: connection, token, "
    "cluster, version, project, policy, quota, free GPUs, workloads of the same name; on "
    "Kubernetes also rights, and a rehearsal of the creation. Only reads.",
)
_PS = CliCommand(
    "ps",
    "List the workloads of this Airflow",
    (
        _CONN,
        CliOption(
            ("--project",),
            "Project (default: the connection's, else all visible ones; with --orphans always all)",
        ),
        CliOption(("-a", "--all"), "Include workloads that have ended", _SWITCH),
        CliOption(
            ("--orphans",), "Only those that no task waits for, as reap would end them", _SWITCH
        ),
        _OUTPUT,
    ),
    "List the workloads of this Airflow: phase, clocks, and the state of the task that made each. "
    "Reads the state from Airflow's database.",
)
_REAP = CliCommand(
    "reap",
    "End workloads that no task waits for any more",
    (
        _CONN,
        CliOption(("--project",), "Project (default: all visible ones)"),
        CliOption(
            ("--older-than",),
            "Minimum age, such as 90s, 10m, 2h or 1d (default: 10m)",
            {"default": "10m"},
        ),
        CliOption(("--dry-run",), "Only show what would be ended", _SWITCH),
        _OUTPUT,
    ),
    "End (or suspend, as their author chose) the workloads of this Airflow that no unfinished task "
    "waits for. Looks twice, a minute apart. Reads the state of tasks from Airflow's database.",
)
_LOGS = CliCommand(
    "logs",
    "Show a workload's log",
    (
        CliOption(("workload",), "Name or id of the workload"),
        CliOption(
            ("-f", "--follow"), "Go on with what is new until the workload has ended", _SWITCH
        ),
        CliOption(("--previous",), "Of the container before the present one", _SWITCH),
        CliOption(
            ("--tail",),
            "Lines from the end (default: 100; -1: all there are)",
            {"type": int, "default": 100},
        ),
        CliOption(("--since",), "Only what is not older, such as 90s, 10m, 2h or 1d"),
        CliOption(("--pod",), "Name of a pod (default: the leader)"),
        CliOption(("--container",), "Name of a container of the pod"),
        _CONN,
        _PROJECT,
        _OUTPUT,
    ),
    "Show a workload's log, from the API of its cluster, which must be reachable from here. Values "
    "of variables that look like secrets are masked.",
)
_CHAMPION = CliCommand(
    "champion",
    "Show the champion and those before it, or go back to one",
    (
        CliOption(
            ("action",),
            "show (the champion), history (the last 50, the newest first) or rollback (make an "
            "earlier one the champion again)",
            {"choices": ("show", "history", "rollback")},
        ),
        CliOption(("pointer",), "Path of the champion pointer on this machine, or a URI"),
        CliOption(
            ("--to",),
            "Number in the history to go back to (default: the champion before)",
            {"type": int},
        ),
        CliOption(
            ("--level",),
            "How deep to check the checkpoint before a rollback: 0 that it is there, 1 its "
            "structure, 2 or 3 also its digest (default: 1)",
            {"type": int, "choices": (0, 1, 2, 3), "default": 1},
        ),
        CliOption(("--storage-conn",), "Airflow connection for object storage"),
        _OUTPUT,
    ),
    "Show the champion and those before it, or go back to one. A rollback raises no asset event; "
    "RunaiRollbackChampionOperator does.",
)
_DRILL = CliCommand(
    "drill",
    "Preempt a start-up script in the embedded Run:ai, and show whether the training survives",
    (CliOption(("arguments",), "See `airflow runai drill --help`", _REST),),
    has_own_parser=True,
)

COMMANDS = (_TRANSLATE, _RENDER, _LINT, _DRY_RUN, _PS, _REAP, _LOGS, _CHAMPION, _DRILL)
