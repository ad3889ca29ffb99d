"""What lists and watches show of a namespace, for all waits in it; nothing looks without a wait."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from airflow_runai.backends.kubernetes.api.paths import (
    JOBS,
    JOBSETS,
    KUEUE_WORKLOADS,
    PODS,
    ResourceKind,
)
from airflow_runai.backends.kubernetes.api.refusals import Sight
from airflow_runai.backends.kubernetes.watching.bells import Bells
from airflow_runai.backends.kubernetes.watching.reflector import Reflector
from airflow_runai.core.kubernetes.mirror import Mirror
from airflow_runai.core.kubernetes.queue_facts import JOB_UID
from airflow_runai.core.manifests.labels import MANAGED_BY
from airflow_runai.errors import Forbidden, RunaiError

_RESOURCES = {"Job": JOBS, "JobSet": JOBSETS, "Pod": PODS, "Workload": KUEUE_WORKLOADS}
_SELECTOR = tuple(("labelSelector", f"{key}={value}") for key, value in MANAGED_BY.items())
# Kueue gives its Workloads no label of ours: all are listed, and only those of ours are kept.
_SELECTORS = {"Workload": (("labelSelector", JOB_UID),)}
#: Kinds without which less is known, but no wait ends.
_HELPFUL = ("Pod", "Workload")


class NamespaceReflectors:
    """
    The reflectors of one namespace: one for each kind that a wait needs.

    :ivar facts: what they have seen.
    :ivar sight: what may be seen there at all.
    """

    def __init__(self, namespace: str) -> None:
        self.facts, self.bells, self.sight = Mirror(), Bells(), Sight()
        self.namespace = namespace
        self._reflectors: dict[str, Reflector] = {}
        self._waits: Counter[str] = Counter()

    def join(self, kind: str, interval: float, resource: ResourceKind | None = None) -> None:
        """
        Look for one more wait.

        :param kind: of what it waits for; ``Workload`` if Kueue has a say in it.
        :param interval: seconds between two lists, where no watch is allowed.
        :param resource: in the version that is served, if that is not always the same.
        """
        self._waits[kind] += 1
        for one in _needed(kind):
            if one not in self._reflectors:
                path = (resource or _RESOURCES[one]).collection(self.namespace)
                selector = _SELECTORS.get(one, _SELECTOR)
                self._reflectors[one] = Reflector(one, path, selector, self.facts, self.bells)
                self._reflectors[one].interval = interval
            self._reflectors[one].interval = min(interval, self._reflectors[one].interval)

    def leave(self, kind: str) -> bool:
        """Look for one wait less; return whether there are others."""
        self._waits -= Counter({kind: 1})
        needed = {one for kind in self._waits for one in _needed(kind)}
        for one in set(self._reflectors) - needed:
            del self._reflectors[one]
        return bool(needed)

    @property
    def sources(self) -> Iterator[Reflector]:
        """What has to look."""
        return iter(self._reflectors.values())

    def has_listed(self, kind: str) -> bool:
        """Whether all was seen that a wait for such an object depends on, as far as it may be."""
        reflectors = [self._reflectors[one] for one in _needed(kind)]
        return all(one.has_listed or isinstance(one.error, Forbidden) for one in reflectors)

    def error(self, kind: str) -> RunaiError | None:
        """Return why nothing is known at the moment; what only helps may be forbidden."""
        for one in _needed(kind):
            error = self._reflectors[one].error
            if one in _HELPFUL and isinstance(error, Forbidden):
                self.facts.refused(one)
            elif error is not None:
                return error
        return None


def _needed(kind: str) -> tuple[str, ...]:
    return {"Job": ("Job", "Pod"), "Workload": ("Workload",)}.get(kind, (kind, "Job", "Pod"))


class ClusterReflectors:
    """
    The reflectors of all namespaces in which somebody waits.

    :param changed: called when others have to look.
    """

    def __init__(self, changed: Callable[[], object]) -> None:
        self._changed = changed
        self._namespaces: dict[str, NamespaceReflectors] = {}

    @property
    def sources(self) -> list[Reflector]:
        """What has to look now."""
        return [one for reflectors in self._namespaces.values() for one in reflectors.sources]

    def of(self, namespace: str) -> NamespaceReflectors:
        """Return the reflectors of a namespace."""
        return self._namespaces.setdefault(namespace, NamespaceReflectors(namespace))

    def join(
        self,
        reflectors: NamespaceReflectors,
        kind: str,
        interval: float,
        resource: ResourceKind | None = None,
    ) -> None:
        """Look for one more wait; see :meth:`NamespaceReflectors.join`."""
        self._namespaces[reflectors.namespace] = reflectors
        reflectors.join(kind, interval, resource)
        self._changed()

    def leave(self, reflectors: NamespaceReflectors, kind: str) -> None:
        """Look for one wait less."""
        if not reflectors.leave(kind):
            self._namespaces.pop(reflectors.namespace, None)
        self._changed()
