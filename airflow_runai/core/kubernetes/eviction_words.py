"""What events have said of pods that a scheduler takes away, and when it was asked for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from airflow_runai.core.kubernetes.pod_facts import PodFacts
from airflow_runai.core.kubernetes.queue_facts import EvictionWord, read_event
from airflow_runai.core.kubernetes.uid_index import UidIndex

_UID_LENGTH = 36


class EvictionWords:
    """The words of one namespace; pods are named as events name them."""

    def __init__(self) -> None:
        self._words: dict[str, EvictionWord] = {}
        self._pods_of = UidIndex[str]()
        self._asked: dict[str, float] = {}

    def take(self, event: Mapping[str, Any], about: str = "") -> None:
        """
        Take an event.

        :param about: the uid of the training whose pod it is about, if it does not say so itself.
        """
        for pod, said in read_event(event).items():
            self._words[pod] = max(said, self._words.get(pod, said))
            self._pods_of.note((said.group or about)[-_UID_LENGTH:], pod)

    def note_question(self, about: str, now: float) -> None:
        """Take that all events about a PodGroup, or a training's pods, were asked for."""
        self._asked[about] = max(now, self._asked.get(about, 0.0))

    def of(self, uid: str, pods: Iterable[PodFacts]) -> dict[str, EvictionWord]:
        """Return what was said of a training's pods, also of unseen ones."""
        keys = {*self._pods_of.of(uid), *(pod.key for pod in pods)}
        return {key: self._words[key] for key in keys if key in self._words}

    def asked(self, uid: str, pods: Iterable[PodFacts]) -> dict[str, float]:
        """Return when it was asked for, epoch seconds: by PodGroup, and by the training's uid."""
        return {one: self._asked.get(one, 0.0) for one in (uid, *(pod.group for pod in pods))}

    def forget(self, uid: str) -> None:
        """Forget a training."""
        self._asked.pop(uid, None)
        for pod in self._pods_of.pop(uid, ()):
            self._words.pop(pod, None)

    def forget_pod(self, pod: PodFacts) -> None:
        """Forget a pod, and its PodGroup."""
        self._words.pop(pod.key, None)
        self._asked.pop(pod.group, None)
