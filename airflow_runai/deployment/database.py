"""Airflow's own database, which scheduler, API server and command line have, but no worker."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_runai.core.texts import cut
from airflow_runai.errors import Unreachable

if TYPE_CHECKING:
    from sqlalchemy.orm import Session


@contextmanager
def airflow_session() -> Iterator[Session]:
    """
    Open a session, which is committed at the end.

    :raises Unreachable: if there is no database to ask.
    """
    # Imported here: Airflow's models take long, and are not needed where nothing is read.
    from airflow.utils.session import create_session
    from sqlalchemy.exc import SQLAlchemyError

    try:
        with create_session() as session:
            yield session
    except (SQLAlchemyError, RuntimeError) as error:
        # A RuntimeError where Airflow is told to have no database.
        # The driver's own message; SQLAlchemy adds statement and parameters.
        words = cut(str(getattr(error, "orig", None) or error).splitlines()[0])
        raise Unreachable(
            f"Airflow's database: {type(error).__name__}: {words}; "
            "run this where [database] sql_alchemy_conn is that of the scheduler"
        ) from None
