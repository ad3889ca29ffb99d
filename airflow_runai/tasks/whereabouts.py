"""Where a person finds a workload that failed: its page, and the commands for its logs."""

from __future__ import annotations

import logging
import shlex
from collections.abc import Mapping

from airflow_runai.core.json_merge import JsonMapping
from airflow_runai.core.outcome import Outcome
from airflow_runai.core.workload import Workload
from airflow_runai.hooks.runai import RunaiHook
from airflow_runai.links import workload_page

log = logging.getLogger(__name__)


def failure_words(outcome: Outcome, runai_conn_id: str, project: str) -> str:
    """
    Return how a wait ended, and below it, a line each, why and where to look further.

    :param project: its name, if known; else the connection's is used.
    """
    where = where_to_look(outcome.workload(), runai_conn_id, project)
    return "\n  - ".join([outcome.sentence, *outcome.reasons, *where])


def end_words(event: JsonMapping, runai_conn_id: str, project: str) -> str:
    """
    Return why a wait for something else ended, and where to look if a workload's end ended it.

    :param event: of ``tasks/checkpoint_wait.py``.
    :param project: of a workload that the event names without its project, if known.
    """
    words, ended = str(event.get("words", event)), event.get("workload")
    if not isinstance(ended, Mapping):
        return words
    project = str(event.get("project") or project)
    return "\n  - ".join([words, *where_to_look(Workload.from_json(ended), runai_conn_id, project)])


def where_to_look(workload: Workload, runai_conn_id: str, project: str) -> list[str]:
    """
    Return the address of a workload's page, as far as it is known, and the commands for its logs.

    :param project: its name, if known; else the connection's is used.
    """
    lines, theirs = [], list[str]()
    try:
        settings = RunaiHook(runai_conn_id).settings
        project = project or settings.project or ""
        theirs = settings.log_command(workload, project)
        if page := workload_page(settings, workload, project):
            lines.append(f"its page: {page}")
    except Exception as error:  # the failure itself is more important
        log.info("the page of %s is not known (%s)", workload.name, error)
    ours = ["airflow", "runai", "logs", workload.name]
    ours += ["--conn", runai_conn_id] if runai_conn_id != RunaiHook.default_conn_name else []
    ours += ["--project", project] if project else []
    commands = [f"`{shlex.join(words)}`" for words in (ours, theirs) if words]
    return [*lines, f"its logs: {' or '.join(commands)}"]
