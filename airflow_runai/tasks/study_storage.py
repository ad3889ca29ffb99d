"""
Where a study lies: a journal file that workers share, or a database by its Airflow connection.

A password belongs in a connection, so a study is never named by the address of a database.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_runai.core.paths import PathMap
from airflow_runai.core.sweep.study import storage_of_study
from airflow_runai.errors import InvalidArgument, RunaiError, Unreachable
from airflow_runai.tasks.locations import (
    location,
    refuse_missing_connection,
    untrusted_below,
)

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

#: SQLAlchemy's names for databases, by Airflow's type of connection, with the drivers of Airflow's
#: own providers.
_DIALECTS = {"postgres": "postgresql+psycopg2", "mysql": "mysql+mysqldb", "sqlite": "sqlite"}


@contextmanager
def study_storage(study: str, path_map: PathMap | None) -> Iterator[BaseStorage]:
    """
    Open the storage of a study.

    :param study: path of a journal file, as the containers call it, or the id of a connection.
    :raises InvalidArgument: if Optuna is not installed, or ``study`` is neither.
    :raises Unreachable: in the block too, if the storage fails.
    """
    _refuse_missing_optuna()
    _check_name(study)
    try:
        yield _journal(study, path_map) if "/" in study else _database(study)
    except RunaiError:
        raise
    except Exception as error:  # storages raise what they like
        from airflow_runai.checkpoints.checking.reader import cause

        raise Unreachable(f"study: {study}: cannot be used now: {cause(error)}") from error


def _refuse_missing_optuna() -> None:
    try:
        import optuna  # noqa: F401  # whether it is there
    except ImportError:
        advice = "install 'airflow-provider-runai[optuna]' on the workers"
        raise InvalidArgument(
            [f"sampler: needs Optuna, which is not installed; {advice}"]
        ) from None


def _check_name(study: object) -> None:
    """Check again what was a template when the DAG was parsed."""
    try:
        storage_of_study(study)
    except ValueError as error:
        raise InvalidArgument([f"study: {error}"]) from None


def _journal(study: str, path_map: PathMap | None) -> BaseStorage:
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend

    path = location(study, path_map)
    if not isinstance(path, Path):
        allowed = "allowed: a file that all workers can lock and write, or a database's connection"
        raise InvalidArgument([f"study: {study!r} is in object storage; {allowed}"])
    _refuse_links(path, untrusted_below(study, path_map))
    return JournalStorage(JournalFileBackend(str(path)))


def _refuse_links(path: Path, top: Path | None) -> None:
    """Refuse what a training could have made of a path, so that something else is written to."""
    below = [one for one in (path, *path.parents) if top is not None and top in one.parents]
    for one in below:
        if one.is_symlink():
            raise InvalidArgument([f"study: {one} is a link, which may lead anywhere; remove it"])


def _database(study: str) -> BaseStorage:
    from airflow.sdk import BaseHook
    from optuna.storages import RDBStorage

    refuse_missing_connection(study, "study")
    return RDBStorage(_address(study, BaseHook.get_connection(study)))


def _address(study: str, connection: Any) -> str:
    from sqlalchemy.engine import URL

    dialect = _DIALECTS.get(connection.conn_type)
    if dialect is None:
        allowed = f"allowed: {', '.join(_DIALECTS)}, or the path of a journal file"
        raise InvalidArgument(
            [f"study: {study!r} is a connection of type {connection.conn_type!r}; {allowed}"]
        )
    is_file = dialect == "sqlite"
    options = dict(_options(study, connection.extra_dejson))
    address = URL.create(
        dialect,
        username=connection.login,
        password=connection.password,
        host=None if is_file else connection.host,
        port=connection.port,
        database=connection.host or connection.schema if is_file else connection.schema,
        query=options,
    )
    return address.render_as_string(hide_password=False)


def _options(study: str, extra: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Yield *Extra* as options of the database's driver: ``{"ssl": {"ca": …}}`` as ``ssl_ca``."""
    for key, value in extra.items():
        name = f"{before}{key}"
        if isinstance(value, Mapping):
            yield from _options(study, value, f"{name}_")
        elif isinstance(value, (str, int, float)):
            yield name, str(value).lower() if isinstance(value, bool) else str(value)
        else:
            raise InvalidArgument(
                [f"study: {study!r}: Extra, {name}: no text or number; correct the connection"]
            )
