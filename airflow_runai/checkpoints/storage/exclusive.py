"""
Objects that are written only if none of the name is there: of several writers exactly one succeeds.

S3 and Google Cloud Storage have a condition for it (``If-None-Match: *``,
``ifGenerationMatch=0``). For most others fsspec looks first and writes then, which two writers can
do at once without noticing. So only storages that are known to have it count, and the server must
show it once: some that speak S3's language ignore the condition.
"""

from __future__ import annotations

import errno
from typing import Any

#: Protocols of fsspec whose ``mode="create"`` is a condition of the request (s3fs since 2024.9,
#: gcsfs since 2024.10). That of adlfs could not be proven.
_CONDITIONAL = frozenset({"s3", "s3a", "gs", "gcs"})
_CONFLICTS = ("PreconditionFailed", "ConditionalRequestConflict", "412", "409")
_MARK = b"Shows that this storage does not overwrite an object if it is told so.\n"


class NotExclusive(OSError):
    """A storage cannot say which of two writers was the first."""

    def __init__(self, path: object, problem: str) -> None:
        super().__init__(errno.ENOTSUP, problem, str(path))

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


def prove_exclusive(marker: Any) -> None:
    """
    Find out whether the storage keeps what is there, by an object that is never changed.

    :param marker: where that object lies; an ``ObjectStoragePath`` or the like.
    :raises NotExclusive: if it does not, or if this is not known of its kind.
    """
    for _ in range(2):
        try:
            put_new(marker, _MARK)
        except FileExistsError:
            return
    raise NotExclusive(marker, "server that ignores If-None-Match")


def put_new(path: Any, data: bytes) -> None:
    """
    Write an object that is not there yet.

    :raises FileExistsError: if it is.
    :raises NotExclusive: if this kind of storage cannot tell.
    """
    protocols = {path.fs.protocol} if isinstance(path.fs.protocol, str) else {*path.fs.protocol}
    if not protocols & _CONDITIONAL:
        raise NotExclusive(path, f"{min(protocols)} storage without a conditional put")
    try:
        path.fs.pipe_file(path.path, data, mode="create")
    except Exception as error:
        if _is_conflict(error):
            raise FileExistsError(errno.EEXIST, "is there already", str(path)) from error
        raise


def _is_conflict(error: Exception) -> bool:
    # s3fs makes a bare EINVAL of it where the server does not name the condition.
    answer = getattr(error.__cause__, "response", None) or {}
    code = answer.get("Error", {}).get("Code")
    return isinstance(error, FileExistsError) or code in _CONFLICTS
