"""
The name of this Airflow on Run:ai: ``[runai] instance_name``, or else one that is made once.

That one is kept in Airflow's own database, as the variable ``runai_instance_name``, so that worker,
API server and command line read the same. The scheduler makes it when it starts; a worker does only
if the scheduler lacks this provider. Secrets backends are not asked, because components may have
different ones.
"""

from __future__ import annotations

import secrets
import time
from typing import Any

from airflow_runai.deployment import configuration
from airflow_runai.deployment.database import airflow_session
from airflow_runai.deployment.supervisor import ask_supervisor
from airflow_runai.errors import Unreachable

#: Key of the variable.
VARIABLE = "runai_instance_name"
_DESCRIPTION = (
    "Part of the hash in the names of this Airflow's workloads on Run:ai; "
    "a copied database must not keep it."
)
#: Seconds after which a worker reads what it wrote: another one may have written at the same time.
_SETTLES = 2.0


def name_for_worker() -> str:
    """
    Return the name in a running task, which has no database.

    :raises Unreachable: if Airflow's API server does not answer.
    """
    name = _configured() or _fetched()
    if name is None:
        _store(_new_name())
        time.sleep(_SETTLES)
        name = _fetched()
    if name is None:
        raise _unknown("it was written just now, and is not there")
    return name


def name_in_database() -> str:
    """
    Return the name where there is a database; make one if there is none yet.

    :raises Unreachable: if there is no database to ask.
    """
    return _configured() or _read() or _make()


def _configured() -> str:
    return configuration.option("instance_name")


def _new_name() -> str:
    return f"airflow-{secrets.token_hex(8)}"


def _fetched() -> str | None:
    """
    Ask the supervisor itself.

    ``Variable.get`` takes a server that does not answer for a variable that does not exist.
    """
    from airflow.sdk.exceptions import ErrorType
    from airflow.sdk.execution_time.comms import ErrorResponse, GetVariable, VariableResult

    answer = _answer(GetVariable(key=VARIABLE))
    if isinstance(answer, ErrorResponse) and answer.error == ErrorType.VARIABLE_NOT_FOUND:
        return None
    if not isinstance(answer, VariableResult):
        raise _refused(answer)
    return _usable(answer.value)


def _store(name: str) -> None:
    from airflow.sdk.execution_time.comms import ErrorResponse, PutVariable

    answer = _answer(PutVariable(key=VARIABLE, value=name, description=_DESCRIPTION))
    if isinstance(answer, ErrorResponse):
        raise _refused(answer)


def _answer(message: Any) -> Any:
    try:
        return ask_supervisor(message)
    except LookupError as error:
        raise _unknown(str(error)) from None


def _refused(answer: Any) -> Unreachable:
    return _unknown(f"Airflow's API server answered {getattr(answer, 'error', answer)}")


def _read() -> str | None:
    from airflow.models.variable import Variable
    from sqlalchemy import select

    with airflow_session() as session:
        # Variable.get would ask secrets backends first.
        row = session.scalar(select(Variable).where(Variable.key == VARIABLE))
        return None if row is None else _usable(row.get_val())


def _make() -> str:
    """Make the name, unless another process is faster: the database takes one row of this key."""
    from airflow.models.variable import Variable
    from sqlalchemy.exc import IntegrityError

    with airflow_session() as session:
        session.add(Variable(VARIABLE, _new_name(), _DESCRIPTION))
        try:
            session.flush()
        except IntegrityError:
            session.rollback()
    name = _read()
    if name is None:
        raise _unknown("it was written just now, and is not there")
    return name


def _usable(value: str | None) -> str:
    if not value:
        raise _unknown("it is empty, or encrypted with another key")
    return value


def _unknown(why: str) -> Unreachable:
    return Unreachable(
        f"variable {VARIABLE}, by which this Airflow knows its workloads: {why}; "
        "set [runai] instance_name to do without it"
    )
