"""
One direct look at a training, for people: its object, its pods, and what happened to both.

What is forbidden or gone is missing in it. A refusal is not waited out, as a wait would: it costs
this answer and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from airflow_runai.backends.kubernetes.api.objects import decode_object, decode_page
from airflow_runai.backends.kubernetes.api.paths import PODS
from airflow_runai.backends.kubernetes.api.status import accept
from airflow_runai.backends.kubernetes.api.writes import Object, read
from airflow_runai.backends.kubernetes.trainings.reader import kind_of
from airflow_runai.backends.throttle import HISTORY
from airflow_runai.core.flow import Flow, Request, now
from airflow_runai.core.kubernetes.case import Case
from airflow_runai.core.kubernetes.history import read_history
from airflow_runai.core.kubernetes.incarnations import PodIncarnation, incarnations
from airflow_runai.core.kubernetes.job_facts import HISTORY as HISTORY_ANNOTATION
from airflow_runai.core.kubernetes.job_facts import JobFacts
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.namespace_load import ENDS
from airflow_runai.core.kubernetes.objects import at, conditions, holds, word
from airflow_runai.core.kubernetes.phase import phase_of
from airflow_runai.core.kubernetes.pod_facts import read_pod
from airflow_runai.core.kubernetes.presence import Presence
from airflow_runai.core.kubernetes.verdict import verdict
from airflow_runai.core.phases import FINAL, meaning
from airflow_runai.core.workload import Workload
from airflow_runai.errors import Refused, Unreadable

T = TypeVar("T")

#: Objects of a list that are looked at, and bytes of it that are decoded.
_MOST, _MAX_BYTES = 200, 4 * 2**20


@dataclass(frozen=True)
class TrainingLook:
    """
    What one look has seen.

    :param training: the Job or JobSet; ``None`` if it cannot be read.
    :param lives: its incarnations, oldest first, remembered ones included.
    :param phase: the present one, as far as it can be told.
    """

    training: Object | None
    pods: Sequence[Object]
    lives: Sequence[PodIncarnation]
    phase: str

    @property
    def present(self) -> frozenset[str]:
        """The uids of the pods that exist."""
        return frozenset(word(pod, "metadata", "uid") for pod in self.pods)


def look(workload: Workload) -> Flow[TrainingLook]:
    """Look at a training once; raises ``Unreachable`` if nobody answers."""
    training = yield from if_readable(training_of(workload))
    pods = yield from if_readable(pods_of(workload))
    return united(workload, training, pods or [], (yield from now()))


def united(
    workload: Workload, training: Object | None, pods: list[Object], moment: float
) -> TrainingLook:
    """
    Return what was seen, joined.

    :param moment: when; epoch seconds.
    """
    mirror = Mirror()
    if training is not None:
        mirror.found(kind_of(workload)[0], training, moment)
    for pod in pods:
        mirror.found("Pod", pod, moment)
    case = mirror.case(workload.id) or _without_training(workload, pods)
    kept = case.training.history
    lives = incarnations(case, read_history(kept[1]).lives if kept else ())
    phase = workload.phase
    # Whoever waited for the end knows more than one look.
    if training is not None and meaning(phase) not in FINAL:
        phase = phase_of(case, lives, verdict(case, lives)).phase
    return TrainingLook(training, pods, lives, phase)


def _without_training(workload: Workload, pods: list[Object]) -> Case:
    facts = sorted((read_pod(pod, Presence()) for pod in pods), key=lambda one: one.made)
    return Case(JobFacts(workload.id), {}, facts)


def training_of(workload: Workload) -> Flow[Object]:
    """
    Return the Job or JobSet.

    :raises NotFound: if it does not exist, or its name belongs to another one now.
    """
    _, resource, _ = kind_of(workload)
    return read(resource.object(workload.project_id, workload.name), workload.id, HISTORY)


def pods_of(workload: Workload) -> Flow[list[Object]]:
    """Return the pods that exist of a training, also those that its deletion has left behind."""
    _, _, label = kind_of(workload)
    path = PODS.collection(workload.project_id)
    return rows_of(path, ("labelSelector", f"{label}={workload.id}"))


def rows_of(path: str, *selector: tuple[str, str]) -> Flow[list[Object]]:
    """Return the objects of a list, one page of them."""
    params = [*selector, ("limit", str(_MOST))]
    request = Request("GET", path, params, rank=HISTORY, decode=_decode)
    found: list[Object] | None = accept(request, (yield request))
    return found or []


def _decode(content: bytes | bytearray) -> list[Object]:
    if len(content) > _MAX_BYTES:
        raise ValueError(f"{len(content)} bytes; at most {_MAX_BYTES} are read")
    try:
        return [decode_object(item) for item in decode_page(content).items]
    except Unreadable as error:
        raise ValueError(str(error)) from error


def if_readable(flow: Flow[T]) -> Flow[T | None]:
    """Return ``None`` for what is gone, forbidden or odd."""
    try:
        return (yield from flow)
    except (Refused, Unreadable):
        return None


def is_over(workload: Workload) -> Flow[bool]:
    """Whether a training has ended, or is gone."""
    training = yield from if_readable(training_of(workload))
    known = conditions(training)
    return training is None or any(holds(known.get(end)) for end in ENDS)


def remembered(workload: Workload) -> Flow[Sequence[PodIncarnation]]:
    """Return the incarnations in the history of a training; none if it cannot be read."""
    training = yield from if_readable(training_of(workload))
    text = at(training, "metadata", "annotations", HISTORY_ANNOTATION)
    return read_history(text).lives if isinstance(text, str) else ()
