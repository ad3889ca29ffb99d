"""The rig: a real Kubernetes control plane for tests, and stand-ins for what cannot run here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.rig.cluster import Cluster, Options, RigError

__all__ = ["Cluster", "Options", "RigError"]


def __getattr__(name: str) -> Any:
    # Late: the stand-ins are modules of this package, too, and need nothing of what starts a
    # cluster.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from tests.rig import cluster

    return getattr(cluster, name)
