"""What a known cause is: the platform's words, what they mean, and what to do."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cause:
    """
    One known cause.

    :param code: its name, for documentation and tests.
    :param kind: of several causes of a kind, the first in the table is told.
    :param words: how it shows in ``reason: sentence`` of a clue, a regular expression.
    :param what: what has happened; may hold the groups of ``words``, and ``{said}``.
    :param advice: what to do.
    :param ends_waiting: it means something only while the workload waits for resources.
    """

    code: str
    kind: str
    words: str
    what: str
    advice: str
    ends_waiting: bool = False

    def found_in(self, text: str) -> re.Match[str] | None:
        """Search a clue's text; compiled when first needed, because every DAG imports the table."""
        return re.search(self.words, text, re.IGNORECASE)
