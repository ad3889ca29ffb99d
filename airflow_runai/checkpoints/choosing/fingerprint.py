"""
Whether anything has changed under a root, told by names, sizes and times alone; nothing is opened.
"""

from __future__ import annotations

import hashlib

from airflow_runai.checkpoints.checking.request import Policy
from airflow_runai.checkpoints.choosing.roots import Candidate, candidates
from airflow_runai.checkpoints.storage.checkpoint_files import list_checkpoint
from airflow_runai.checkpoints.storage.listing import Location

#: Whoever waits for a new checkpoint looks at the newest ones.
_NEWEST = 50


def root_fingerprint(root: Location, *, least_step: int | None = None) -> str:
    """
    Return a short text that stays the same as long as the newest checkpoints do.

    :param least_step: those of a lower step do not matter.
    :raises RootProblem: when there is nothing to choose from.
    """
    wanted = [
        found
        for found in candidates(root)
        if least_step is None or (found.step or least_step) >= least_step
    ]
    lines = (f"{found.path.name} {_mark(found)}\n" for found in wanted[:_NEWEST])
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


def _mark(found: Candidate) -> str:
    try:
        return list_checkpoint(found.path, Policy().entry_limit, lambda name, error: None).mark
    except Exception as error:  # storage libraries raise what they like
        return type(error).__name__
