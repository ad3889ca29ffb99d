"""What a connection's identity may not do: said once, before anything is submitted."""

from __future__ import annotations

import logging
from collections.abc import Callable

from airflow_runai.core.project import Project
from airflow_runai.core.task_purpose import TaskPurpose
from airflow_runai.errors import Refused, RightMissing, Unreachable
from airflow_runai.hooks.runai import RunaiHook

log = logging.getLogger(__name__)


def tell_missing_rights(
    hook: RunaiHook, project: Project, task: TaskPurpose, sleep: Callable[[float], None]
) -> None:
    """
    Warn of rights that are missing; whatever needs them degrades.

    :raises RightMissing: if nothing would be submitted without them.
    """
    try:
        lacking = hook.run(hook.backend.lacking_rights(project, task), sleep=sleep)
    except RightMissing:
        raise
    except (Unreachable, Refused) as error:
        log.info("which rights are missing cannot be asked (%s)", error)
        return
    if lacking:
        log.warning("%s", lacking)
