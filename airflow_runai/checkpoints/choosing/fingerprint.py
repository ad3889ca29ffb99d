"""Detects changes under a root by names, sizes and times; opens no file."""

from __future__ import annotations

import hashlib

from airflow_runai.checkpoints.choosing.roots import Candidate, candidates
from airflow_runai.checkpoints.storage.checkpoint_files import list_checkpoint
from airflow_runai.checkpoints.storage.listing import Location

#: A wait for a new checkpoint examines only the newest ones.
_COUNT = 50


def root_fingerprint(root: Location, *, least_step: int | None = None) -> str:
    """
    Return a short text that stays the same as long as the newest checkpoints do.

    :param least_step: checkpoints of a lower step are ignored.
    :raises RootProblem: if there is nothing to choose from.
    """
    relevant = [
        candidate
        for candidate in candidates(root)
        if least_step is None or (candidate.step or least_step) >= least_step
    ]
    lines = [f"{candidate.path.name} {_mark(candidate)}\n" for candidate in relevant[:_COUNT]]
    content = "".join(lines).encode("utf-8", "surrogateescape")
    return hashlib.sha256(content).hexdigest()


def _mark(candidate: Candidate) -> str:
    try:
        return list_checkpoint(candidate.path).mark
    except Exception as error:  # storage libraries raise what they like
        return type(error).__name__
