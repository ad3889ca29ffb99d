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
    SpecError,
    Unauthorized,
    Untrusted,
)

#: A refusal (400) of a specification stays a refusal; 404, 409 and anything transient may pass.
HOPELESS = (
    SpecError,
    ConnectionSettingsError,
    NotResolved,
    Unauthorized,
    Forbidden,
    ForeignWorkload,
    Untrusted,
    GateFailed,
    CheckpointInvalid,
)


@contextmanager
def without_hope_no_retry() -> Iterator[None]:
    """Turn errors that a retry cannot help into Airflow's failure without retry; the words stay the same."""
    try:
        yield
    except CheckpointUndecided:
        raise
    except HOPELESS as error:
        raise AirflowFailException(f"{type(error).__name__}: {error}") from error
    except Refused as error:
        if error.status == 400:
            raise AirflowFailException(f"{type(error).__name__}: {error}") from error
        raise
