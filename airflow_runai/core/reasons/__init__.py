"""
Why a workload waits, does not start or has failed, told in a person's order.

The platform says it in several places (events, pods, conditions, messages) and in its own words.
:class:`Evidence` is what was read there, :data:`CAUSES` the table of what is known, and
:func:`reasons` brings them together. Exception, task log, tab and ``airflow runai ps`` all show
these sentences.
"""

from airflow_runai.core.reasons.cause import Cause
from airflow_runai.core.reasons.causes import CAUSES
from airflow_runai.core.reasons.evidence import Clue, Evidence, chapter_start, needs_reason
from airflow_runai.core.reasons.reason import MAX_REASONS, PLATFORM, Reason, reasons

__all__ = [
    "CAUSES",
    "MAX_REASONS",
    "PLATFORM",
    "Cause",
    "Clue",
    "Evidence",
    "Reason",
    "chapter_start",
    "needs_reason",
    "reasons",
]
