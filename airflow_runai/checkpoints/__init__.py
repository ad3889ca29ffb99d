"""
Checks checkpoints without running them, and selects the newest that passes.

:func:`check` judges one, :func:`select` finds the newest that passes under a root. Both work on
mounted file systems and on object storage, read every byte at most once, and never import, call or
unpickle what a checkpoint holds. The libraries that compute checksums (NumPy, isal, crc32c) are
imported when a check needs them. On the command line: ``python -m airflow_runai.checkpoints``.
"""

from __future__ import annotations

from airflow_runai.checkpoints.checking.findings import Finding, Verdict
from airflow_runai.checkpoints.checking.ledger import Ledger
from airflow_runai.checkpoints.checking.report import Report
from airflow_runai.checkpoints.checking.request import Policy
from airflow_runai.checkpoints.checking.requirements import RequirementError, Requirements
from airflow_runai.checkpoints.choosing.roots import RootProblem, candidates
from airflow_runai.checkpoints.choosing.selection import Selection, select
from airflow_runai.checkpoints.choosing.verification import check

__all__ = [
    "Finding",
    "Ledger",
    "Policy",
    "Report",
    "RequirementError",
    "Requirements",
    "RootProblem",
    "Selection",
    "Verdict",
    "candidates",
    "check",
    "select",
]
