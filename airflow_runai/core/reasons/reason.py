"""From evidence to reasons: known causes in the table's order, else the platform's own words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from re import Match

from airflow_runai.core.reasons.cause import Cause
from airflow_runai.core.reasons.causes import CAUSES
from airflow_runai.core.reasons.evidence import Clue, Evidence
from airflow_runai.core.reasons.exit_codes import signal_name
from airflow_runai.core.texts import cut, said

#: Reasons that are told of one workload; more help nobody.
MAX_REASONS = 3
#: Characters of what the platform says within a sentence, and of a name in it.
SAID_LIMIT, NAME_LIMIT = 200, 100
#: Groups of a cause's words that are no names.
_SENTENCES = ("why", "figures")
#: The code of a reason that the table does not know.
PLATFORM = "platform"


@dataclass(frozen=True, slots=True)
class Reason:
    """
    One reason.

    :param code: of its cause, or :data:`PLATFORM`.
    :param what: what has happened.
    :param where: pod and node, if known.
    :param advice: what to do, if known.
    """

    code: str
    what: str
    where: str = ""
    advice: str = ""

    @property
    def sentence(self) -> str:
        """What, where and what to do, on one line."""
        where = f" ({self.where})" if self.where else ""
        advice = f"; {self.advice}" if self.advice else ""
        return f"{self.what}{where}{advice}"


def reasons(evidence: Evidence) -> tuple[Reason, ...]:
    """
    Tell why a workload waits, does not start or has failed.

    :return: at most :data:`MAX_REASONS`, the most helpful first; none if nothing is known.
    """
    known = _known(evidence)
    return tuple(known[:MAX_REASONS]) or tuple(_passed_on(evidence))


def _known(evidence: Evidence) -> list[Reason]:
    by_kind: dict[str, Reason] = {}
    clues = list(evidence.clues)
    for cause in CAUSES:
        if cause.kind in by_kind or (cause.ends_waiting and not evidence.is_waiting):
            continue
        for clue in clues:
            if found := cause.found_in(clue.text):
                by_kind[cause.kind] = _reason(cause, clue, found, evidence)
                # It says one thing: "FailedScheduling" for want of a claim is not want of GPUs.
                clues.remove(clue)
                break
    return list(by_kind.values())


def _reason(cause: Cause, clue: Clue, found: Match[str], evidence: Evidence) -> Reason:
    # Groups are filled in, never formatted again: a name may hold braces.
    names = {
        key: cut(value or "?", SAID_LIMIT if key in _SENTENCES else NAME_LIMIT)
        for key, value in found.groupdict().items()
    }
    names["said"] = _said(clue)
    if "signal" in names:
        names["signal"] = signal_name(int(names["signal"]))
    what, advice = cause.what.format(**names), cause.advice.format(**names)
    return Reason(cause.code, what, _where(clue, evidence), advice)


def _said(clue: Clue) -> str:
    return cut(clue.said, SAID_LIMIT).rstrip(".") or clue.reason


def _where(clue: Clue, evidence: Evidence) -> str:
    node = evidence.nodes.get(clue.subject)
    if node is None:
        return ""
    pod = f"pod {cut(clue.subject, NAME_LIMIT)}"
    return f"{pod} on {cut(node, NAME_LIMIT)}" if node else pod


def _passed_on(evidence: Evidence) -> Iterator[Reason]:
    """Pass the newest warning on in the platform's words."""
    for clue in evidence.clues:
        if clue.is_warning:
            words = said(clue.reason, _said(clue)) if clue.reason else _said(clue)
            yield Reason(PLATFORM, f"the platform says: {words}", _where(clue, evidence))
            return
