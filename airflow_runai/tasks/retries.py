"""Which of our errors a retry cannot help: those end the task at once, whatever its ``retries``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from airflow_runai.errors import (
    CheckpointInvalid,
    CheckpointUndecided,
    ConnectionSettingsError,
    Forbidden,
    ForeignWorkload,
    GateFailed,
    NotResolved,
    Refused,
    RunaiError,
    SpecError,
    Unauthorized,
    Untrusted,
)

#: The task's author or the checkpoint itself is at fault: no time mends that.
HOPELESS_ALWAYS = (SpecError, GateFailed, CheckpointInvalid)
#: A refusal (400) of a specification stays a refusal; 404, 409 and anything transient may pass.
HOPELESS = (
    *HOPELESS_ALWAYS,
    ConnectionSettingsError,
    NotResolved,
    Unauthorized,
    Forbidden,
    ForeignWorkload,
    Untrusted,
)


@contextmanager
def without_hope_no_retry(*, in_the_middle: bool = False) -> Iterator[None]:
    """
    Turn errors that a retry cannot help into Airflow's failure without retry; the words stay the same.

    :param in_the_middle: a workload of this task may be alive: then a refusal must not cost the training.
    """
    try:
        yield
    except RunaiError as error:
        if _is_hopeless(error, in_the_middle):
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error
        raise


def _is_hopeless(error: RunaiError, in_the_middle: bool) -> bool:
    if isinstance(error, CheckpointUndecided):
        return False
    if in_the_middle:
        return isinstance(error, HOPELESS_ALWAYS)
    return isinstance(error, HOPELESS) or (isinstance(error, Refused) and error.status == 400)
