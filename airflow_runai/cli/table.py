"""
What there is to type after ``airflow runai``: names, options, help texts.

Plain data, because Airflow asks for it at every start of ``airflow``: nothing is imported but the
standard library. ``commands.py`` hands it to Airflow, the documentation is generated from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

HELP = "Unattended, preemptible training on Run:ai"


@dataclass(frozen=True)
class CliOption:
    """
    One argument of a command.

    :param flags: its spellings; a single word without hyphen is positional.
    :param more: what ``argparse`` takes besides the help.
    """

    flags: tuple[str, ...]
    help: str
    more: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class CliCommand:
    """
    One command.

    :param module: file in this folder whose ``main`` runs it.
    :param own: reads its arguments itself: all of them, with options of its own.
    """

    name: str
    help: str
    options: tuple[CliOption, ...]
    description: str = ""
    own: bool = False

    @property
    def module(self) -> str:
        """File in this folder whose ``main`` runs the command."""
        return self.name.replace("-", "_")


_REST = {"nargs": "..."}  # argparse.REMAINDER: a command line's own options are not ours
_MAYBE = {"nargs": "?"}
_MANY = {"action": "append", "default": []}

_OUTPUT = CliOption(
    ("-o", "--output"),
    "Output format. Allowed values: json, yaml, plain, table (default: table)",
    {
        "metavar": "(table, json, yaml, plain)",
        "choices": ("table", "json", "yaml", "plain"),
        "default": "table",
    },
)
_DAG = CliOption(("dag_id",), "The id of the dag")
_TASK = CliOption(("task_id",), "The id of the task")
_ANY_DAG = CliOption(("dag_id",), "The id of the dag", _MAYBE)
_ANY_TASK = CliOption(("task_id",), "The id of the task", _MAYBE)
_BUNDLE = CliOption(
    ("-B", "--bundle-name"), "DAG bundle to look into; may be given more than once", _MANY
)
_FOLDER = CliOption(
    ("-S", "--dags-folder"), "File or folder with DAGs, instead of the configured bundles"
)
_CONN = CliOption(
    ("--conn",), "Connection of type runai (default: runai_default)", {"default": "runai_default"}
)
_ANY_CONN = CliOption(
    ("--conn",), "Connection of type runai (default: the task's, else runai_default)"
)
_PROJECT = CliOption(("--project",), "Run:ai project (default: the connection's)")
_LINE = CliOption(("--line",), "A `runai submit …` line, quoted as one word")
_SPEC = CliOption(("--spec",), "YAML file with a specification")
_WHAT = (_ANY_DAG, _ANY_TASK, _LINE, _SPEC, _BUNDLE, _FOLDER)

FORMS = ("operator", "yaml", "line", "json")

COMMANDS = (
    CliCommand(
        "translate",
        "Turn a `runai submit` line into operator code, specification YAML, a CLI v2 line or REST JSON",
        (
            CliOption(
                ("line",),
                "The line, as it would be typed, or - to read it from standard input",
                _REST,
            ),
            CliOption(
                ("--to",),
                f"Form(s): {', '.join(FORMS)}, all (default: operator); goes before the line",
                {"choices": (*FORMS, "all"), "default": "operator"},
            ),
            _OUTPUT,
        ),
    ),
    CliCommand(
        "render",
        "Show the effective specification of a task, and which layer set each key",
        (_DAG, _TASK, _BUNDLE, _FOLDER, _OUTPUT),
        "Show the effective specification of a task, and which layer set each key: admin defaults, templates, command "
        "line, spec. Jinja stays as it is; what may be a secret is masked. Needs no database and no control plane.",
    ),
    CliCommand(
        "lint",
        "Say what will not survive a preemption, before a GPU is spent",
        (
            *_WHAT,
            CliOption(
                ("--script",),
                "The start-up script; of files beside it names count, and versions in requirements*.txt",
            ),
            CliOption(
                ("--checkpoints",), "Folder with checkpoints, to learn how long saving takes"
            ),
            CliOption(
                ("--conn",),
                "Connection of type runai, to learn the project's limit of GPUs (default: not asked)",
            ),
            _PROJECT,
            CliOption(
                ("--silence",), "Code of a finding to leave out; may be given more than once", _MANY
            ),
            _OUTPUT,
        ),
    ),
    CliCommand(
        "dry-run",
        "Ask the control plane everything that can be asked without creating anything",
        (
            *_WHAT,
            CliOption(
                ("--run-id",),
                "DAG run whose workload would be made: makes the name, and what has it, known",
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
        "Ask the control plane everything that can be asked without creating anything: connection, token, cluster, "
        "version, project, policy, quota, free GPUs, workloads of the same name. Only reads.",
    ),
    CliCommand(
        "ps",
        "List what this Airflow has on Run:ai",
        (
            _CONN,
            CliOption(
                ("--project",),
                "Run:ai project (default: the connection's, else all that can be seen; with --orphans always all)",
            ),
            CliOption(("-a", "--all"), "Also those that have ended", {"action": "store_true"}),
            CliOption(
                ("--orphans",),
                "Only those that nobody waits for, as reap would end them",
                {"action": "store_true"},
            ),
            _OUTPUT,
        ),
        "List what this Airflow has on Run:ai: phase, clocks, and the state of the task that made it. Asks Airflow's "
        "database for the state.",
    ),
    CliCommand(
        "reap",
        "End what nobody waits for any more",
        (
            _CONN,
            CliOption(("--project",), "Run:ai project (default: all that can be seen)"),
            CliOption(
                ("--older-than",),
                "Only those that were made so long ago, such as 90s, 10m, 2h or 1d (default: 10m)",
                {"default": "10m"},
            ),
            CliOption(("--dry-run",), "Only say what would be ended", {"action": "store_true"}),
            _OUTPUT,
        ),
        "End (or suspend, as their author said) the workloads of this Airflow that no unfinished task waits for. Looks "
        "twice, a minute apart. Asks Airflow's database for the state of tasks.",
    ),
    CliCommand(
        "logs",
        "Say where a workload's logs can be read",
        (CliOption(("workload",), "Name or id of the workload"), _CONN, _PROJECT, _OUTPUT),
        "Say where a workload's logs can be read. Run:ai's REST API has no logs, so they cannot be shown here.",
    ),
    CliCommand(
        "drill",
        "Preempt a start-up script in the embedded Run:ai, and say whether the training survives",
        (CliOption(("arguments",), "See `airflow runai drill --help`", _REST),),
        own=True,
    ),
)
