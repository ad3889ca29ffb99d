"""
Where a checkpoint becomes *valid*: one fold over the codes of everything that was found.

A checkpoint is valid when no finding says otherwise. Of several verdicts the first in precedence
decides: a definite fact outweighs "could not be read", which outweighs "cannot be proven".
"""

from __future__ import annotations

from collections.abc import Collection

from airflow_runai.checkpoints.checking.findings import CODES, Severity, Verdict

# Danger first: an unsafe checkpoint must not pass for one that is merely torn.
_PRECEDENCE = (
    Verdict.UNSAFE,
    Verdict.IN_PROGRESS,
    Verdict.INVALID,
    Verdict.POISONED,
    Verdict.UNKNOWN,
    Verdict.UNVERIFIABLE,
    Verdict.VALID,
)


def verdict_of(codes: Collection[str], accept: Collection[str] = ()) -> Verdict:
    """
    Say what findings come down to.

    :param codes: the code of every finding, listed in the report or not.
    :param accept: codes that the user accepts; they only warn.
    """
    verdicts = {CODES[code].verdict for code in codes if code not in accept}
    return next((verdict for verdict in _PRECEDENCE if verdict in verdicts), Verdict.VALID)


def severity_of(code: str, accept: Collection[str] = ()) -> Severity:
    """Return the severity of a finding, given what the user accepts."""
    return "warning" if code in accept else CODES[code].severity
