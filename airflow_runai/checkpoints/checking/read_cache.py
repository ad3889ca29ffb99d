"""What the readers of one check share: bytes that several formats need, and their count."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from airflow_runai.checkpoints.storage.access import AHEAD, Blocks


class ByteCount:
    """
    Counts the bytes that are read, by several threads at a time.

    :param progress: called with the number of bytes so far, after every chunk.
    """

    def __init__(self, progress: Callable[[int], None] | None = None) -> None:
        self._progress = progress
        self._lock = Lock()
        self._total = 0

    def add(self, size: int) -> None:
        """Count bytes that were read."""
        if self._progress is not None:
            with self._lock:
                self._total += size
                self._progress(self._total)


class ReadCache:
    """
    What was read of the files of one checkpoint.

    :param count: the bytes read, of all parts.
    :param ahead: ranges of a remote file that are fetched in advance.

    ``blocks`` holds the heads and ends of remote files that were fetched last, ``heads`` the first
    bytes of a file and ``member_names`` the names in a zip file, by relative path.
    """

    def __init__(self, count: ByteCount | None = None, ahead: int = AHEAD) -> None:
        self.count = count or ByteCount()
        self.ahead = ahead
        # Each part has its own: dictionaries are not shared between threads.
        self.blocks = Blocks()
        self.heads: dict[str, bytes] = {}
        self.member_names: dict[str, tuple[str, ...]] = {}

    def for_part(self) -> ReadCache:
        """Make a cache for a file that is read beside others, and therefore fetches less ahead."""
        return ReadCache(self.count, ahead=1)
