"""Errors that a retry cannot help: they end the task at once, whatever its ``retries``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from airflow.sdk.exceptions import AirflowFailException

from airflow_runai.errors import (
    CheckpointUnreadable,
    ConnectionSettingsError,
    Forbidden,
    ForeignWorkload,
    GateFailed,
    InvalidArgument,
    NotResolved,
    NoValidCheckpoint,
    PromotionRefused,
    Refused,
    RunaiError,
    Unauthorized,
    Untrusted,
)

#: The task's author or the checkpoint itself is at fault: time does not help.
NEVER_RETRYABLE = (InvalidArgument, GateFailed, NoValidCheckpoint, PromotionRefused)
#: A refusal (400, 422) of a specification stays one; 404, 409 and anything transient may pass.
NON_RETRYABLE = (
    *NEVER_RETRYABLE,
    ConnectionSettingsError,
    NotResolved,
    Unauthorized,
    Forbidden,
    ForeignWorkload,
    Untrusted,
)


@contextmanager
def fail_without_retry(*, in_the_middle: bool = False) -> Iterator[None]:
    """
    Turn errors that a retry cannot help into Airflow's failure without retry.

    :param in_the_middle: a workload of this task may be alive: then a refusal must not cost the
        training.
    """
    try:
        yield
    except RunaiError as error:
        if _is_final(error, in_the_middle):
            raise AirflowFailException(f"{type(error).__name__}: {error}") from None
        raise


def _is_final(error: RunaiError, in_the_middle: bool) -> bool:
    if isinstance(error, CheckpointUnreadable):
        return False
    if in_the_middle:
        return isinstance(error, NEVER_RETRYABLE)
    is_invalid = isinstance(error, Refused) and error.status in (400, 422)
    return isinstance(error, NON_RETRYABLE) or is_invalid
