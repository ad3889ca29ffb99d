"""
Airflow's supervisor, asked directly.

Airflow's own calls take a server that does not answer for one that does not know.
"""

from __future__ import annotations

from typing import Any


def ask_supervisor(message: Any) -> Any:
    """
    Return its answer; an ``ErrorResponse`` for the server's refusals and failures.

    :raises LookupError: in a process that is neither a task nor a triggerer.
    """
    from airflow.sdk.exceptions import AirflowRuntimeError

    try:
        from airflow.sdk.execution_time.task_runner import SUPERVISOR_COMMS
    except ImportError:
        raise LookupError("this process is not a task of Airflow's") from None
    try:
        return SUPERVISOR_COMMS.send(message)
    except AirflowRuntimeError as error:
        return error.error


def connection_is_missing(conn_id: str) -> bool:
    """Tell whether a connection that was not found is known not to exist."""
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, GetConnection

    try:
        answer = ask_supervisor(GetConnection(conn_id=conn_id))
    except LookupError:
        return True  # the database itself was asked
    return isinstance(answer, ErrorResponse) and answer.error == ErrorType.CONNECTION_NOT_FOUND
