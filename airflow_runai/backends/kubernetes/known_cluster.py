"""What a cluster serves and how it is spoken to, asked once for all that is read there."""

from __future__ import annotations

from airflow_runai.backends.kubernetes.api.paths import Discovery, ResourceKind, discover
from airflow_runai.backends.kubernetes.api.refusals import confirmed
from airflow_runai.backends.kubernetes.settings import ClusterSettings
from airflow_runai.core.flow import Flow, Lock
from airflow_runai.core.manifests import DIALECTS, Dialect


class KnownCluster:
    """A cluster of which a connection knows something, and the cluster itself the rest."""

    def __init__(self, settings: ClusterSettings) -> None:
        self.settings = settings
        self._found: Discovery | None = None
        self._asking = Lock()

    def discovery(self) -> Flow[Discovery]:
        """Return which groups it serves."""
        return self._found or (yield from self._asking.hold(self._discover()))

    def _discover(self) -> Flow[Discovery]:
        self._found = self._found or (yield from confirmed(discover))
        return self._found

    def dialect(self) -> Flow[Dialect]:
        """Return the dialect that the connection names, else that of what is served."""
        name = self.settings.dialect or (yield from self.discovery()).dialect
        return DIALECTS[name]

    def serves(self, kind: ResourceKind) -> Flow[bool]:
        """Whether it has this kind in this version."""
        return (yield from self.discovery()).serves(kind)

    def kind(self, kind: ResourceKind) -> Flow[ResourceKind]:
        """Return the kind in the version that is served; as it is where its group is missing."""
        return (yield from self.discovery()).version_of(kind) or kind
