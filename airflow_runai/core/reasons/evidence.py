"""
What the platform says about one workload, read from the wire's shapes into clues.

All of it is data of others: bounded and cleaned here, never trusted. What has another shape than
expected is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from airflow_runai.core.mask import clean
from airflow_runai.core.phases import FINAL, Meaning, meaning
from airflow_runai.core.texts import TEXT_LIMIT, cut, printable
from airflow_runai.core.timeline import Moment
from airflow_runai.core.workload import epoch

#: Rows of a list that are looked at; a workload that crashes all day has thousands of events.
MAX_ROWS = 200
#: Characters of one row's text that are searched. Errors of container runtimes are long, and what
#: matters is often at their end.
MAX_SEARCHED = 2000
#: Characters that are searched for secrets beyond those.
_MARGIN = 1000
#: Seconds by which an event may be older than the phase that it explains.
SLACK = 5.0
#: A workload of which these phases speak goes on by itself: there is nothing to explain.
_FINE = frozenset({Meaning.RUNNING, Meaning.SUSPENDED, Meaning.SUCCEEDED, Meaning.DELETING})


@dataclass(frozen=True, slots=True)
class Clue:
    """
    One thing that the platform says.

    :param reason: its word for it, such as ``BackOff`` or ``NonPreemptibleOverQuota``.
    :param said: its sentence.
    :param subject: name of what it is about, such as a pod; may be empty.
    :param at: epoch seconds; ``None`` for what holds now.
    :param is_warning: whether it deserves to be told even if nobody knows it.
    """

    reason: str
    said: str = ""
    subject: str = ""
    at: float | None = None
    is_warning: bool = False

    @property
    def text(self) -> str:
        """What is searched for known causes."""
        return f"{self.reason}: {self.said}"


@dataclass(frozen=True, slots=True)
class Evidence:
    """
    What is known about a workload at one moment.

    :param phase: in the server's spelling.
    :param clues: what holds now first, then events, newest first.
    :param nodes: name of each pod: name of its node.
    """

    phase: str
    clues: tuple[Clue, ...] = ()
    nodes: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_waiting(self) -> bool:
        """Whether it waits for resources."""
        return meaning(self.phase) is Meaning.WAITING

    @classmethod
    def gather(
        cls,
        phase: str,
        workload: object = None,
        events: object = (),
        pods: object = (),
        since: float = 0.0,
    ) -> Evidence:
        """
        Read what the server has said; anything may be missing.

        :param workload: the single, generic read.
        :param events: rows of its events.
        :param pods: rows of its pods.
        :param since: epoch seconds; what was said before is an older story.
        """
        listed = [*_rows(pods)]
        dated = sorted(_of_events(events), key=lambda clue: -(clue.at or 0.0))
        recent = (one for one in dated if one.at is None or one.at >= since - SLACK)
        clues = (*_of_workload(workload), *_of_pods(listed, since), *recent, *_of_phase(phase))
        nodes = {_word(pod.get("name")): _word(pod.get("nodeName")) for pod in listed}
        return cls(phase, clues, nodes)


def needs_reason(phase: str) -> bool:
    """Whether a person would ask why it is in this phase."""
    return meaning(phase) not in _FINE


def chapter_start(timeline: Sequence[Moment]) -> float:
    """
    Return since when what is said explains the present; 0 if that is not known.

    For a workload that has ended this is the beginning of its last run, else that of its phase.
    """
    if not timeline or meaning(timeline[-1].phase) not in FINAL:
        return timeline[-1].at if timeline else 0.0
    runs = (one.at for one in reversed(timeline) if meaning(one.phase) is Meaning.RUNNING)
    return next(runs, 0.0)


def _of_phase(phase: str) -> Iterator[Clue]:
    """A phase that a platform leaves by itself within seconds says enough."""
    if phase == "Resuming":
        yield Clue("StillResuming")


def _of_workload(item: object) -> Iterator[Clue]:
    if not isinstance(item, Mapping):
        return
    for entry in _rows(item.get("pendingSchedulingMessages")):
        said = entry.get("userMessage") or entry.get("reason")
        yield _clue(entry.get("phaseReason"), said, entry.get("nodePool"))
    yield _clue(item.get("phaseReason"), item.get("phaseMessage"))
    for entry in _rows(item.get("conditions")):
        yield _clue(entry.get("reason") or entry.get("type"), entry.get("message"))


def _of_pods(pods: Sequence[Mapping[str, Any]], since: float) -> Iterator[Clue]:
    for pod in pods:
        ended = epoch(pod.get("completedAt") or pod.get("deletedAt"))
        # Kubernetes' own phases say nothing; kubectl's words for a pod (OOMKilled) may stand here.
        if ended is None or ended >= since - SLACK:
            yield _clue(pod.get("k8sPhase"), pod.get("k8sPhaseMessage"), pod.get("name"))


def _of_events(events: object) -> Iterator[Clue]:
    for event in _rows(events):
        about = event.get("involvedObject")
        name = about.get("name") if isinstance(about, Mapping) else ""
        yield _clue(
            event.get("reason"),
            event.get("message"),
            name,
            epoch(event.get("createdAt")),
            event.get("type") == "Warning",
        )


def _clue(
    reason: object,
    said: object,
    subject: object = "",
    at: float | None = None,
    is_warning: bool = False,
) -> Clue:
    text = _ends(said) if isinstance(said, str) else ""
    return Clue(_word(reason), text, _word(subject), at, is_warning)


def _ends(text: str) -> str:
    """Return a text on one line; of a long one the beginning and the end."""
    # Secrets first, a bit beyond what is kept: half an address does not show that it is one.
    text = clean(_shortened(text, MAX_SEARCHED + _MARGIN), MAX_SEARCHED + _MARGIN + 3)
    return cut(_shortened(text, MAX_SEARCHED), MAX_SEARCHED + 3)


def _shortened(text: str, limit: int) -> str:
    half = limit // 2
    return text if len(text) <= limit else f"{text[:half]} … {text[-half:]}"


def _word(value: object) -> str:
    return printable(value, TEXT_LIMIT) if isinstance(value, str) else ""


def _rows(listed: object) -> list[Mapping[str, Any]]:
    rows = listed[:MAX_ROWS] if isinstance(listed, (list, tuple)) else ()
    return [row for row in rows if isinstance(row, Mapping)]
