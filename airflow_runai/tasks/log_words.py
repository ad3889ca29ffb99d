"""What a task log says about the log of a training."""

from __future__ import annotations

import re
from collections.abc import Sequence

import structlog

from airflow_runai.core.texts import TEXT_LIMIT, cut
from airflow_runai.errors import RunaiError

log = structlog.get_logger(logger_name=__name__)

#: Of the address of a log, what follows the cluster's host.
_PATH = re.compile(r"(?<=\w)/cluster-api/api/\S*/logs/download")


def title(name: str, number: int) -> str:
    """Return the header of a part of a log; an incarnation of number 0 is not known."""
    return f"log of {name}, incarnation {number}" if number else f"log of {name}"


def no_log(name: str, error: Exception) -> str:
    """Return the sentence for a log that cannot be had."""
    kind = "" if isinstance(error, RunaiError) else f"{type(error).__name__}: "
    return f"the log of {name} cannot be read ({kind}{short(error)})"


def short(error: Exception) -> str:
    """Return the words of an error without the path of the log, which would hide the advice."""
    return cut(_PATH.sub("", str(error)), 2 * TEXT_LIMIT)


def tell(lines: Sequence[str]) -> None:
    """Write lines into the task log."""
    for line in lines:
        log.info("%s", line)
