"""What the storage of small files raises, as errors of ours: its libraries raise what they like."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from airflow_runai.errors import CheckpointUnreadable, NoValidCheckpoint, RunaiError, Unreachable
from airflow_runai.tasks.locations import refuse_missing_connection

if TYPE_CHECKING:
    from airflow_runai.checkpoints.storage.small_files import SmallFile


@contextmanager
def storage_errors(
    file: SmallFile,
    storage_conn_id: str | None,
    advice: str,
    wrong: tuple[type[Exception], ...] = (ValueError,),
) -> Iterator[None]:
    """
    Use a small file, or a folder of them.

    :param advice: what two writers could do where the storage cannot tell which was the first, and
        where else to put the files.
    :param wrong: what is raised for a file that is not one of ours.
    :raises InvalidArgument: for a connection that does not exist.
    :raises NoValidCheckpoint: in the block, for such a storage, and for a file that is not one of
        ours.
    :raises CheckpointUnreadable: in the block, if the storage fails now.
    """
    # Imported here: reading checkpoints is not needed to parse a DAG.
    from airflow_runai.checkpoints.checking.reader import cause
    from airflow_runai.checkpoints.storage.exclusive import NotExclusive

    try:
        refuse_missing_connection(storage_conn_id)
        yield
    except Unreachable as error:
        raise CheckpointUnreadable(f"{file}: cannot be read or written now: {error}") from error
    except RunaiError:
        raise
    except NotExclusive as error:
        raise NoValidCheckpoint(
            f"{error}: {advice} on a file system with hard links, or on S3 or Google Cloud Storage"
        ) from error
    except wrong as error:
        raise NoValidCheckpoint(str(error)) from error
    except Exception as error:
        raise CheckpointUnreadable(
            f"{file}: cannot be read or written now: {cause(error)}"
        ) from error
