"""
One running cluster for all tests of a process that leave it as they found it; ``tests/conftest.py`` offers it to all.

A test works in a lane of its own (:mod:`.lanes`). One that breaks or reconfigures the cluster
starts its own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.rig.cluster import Cluster
    from tests.rig.lanes import Lane

__all__ = ["rig_cluster", "rig_lane"]


@pytest.fixture(scope="session")
def rig_cluster() -> Iterator[Cluster]:
    """Return a cluster with KAI's stand-in, JobSet and Kueue."""
    # Here, so that tests that need no cluster do not pay for it.
    from tests.rig.cluster import Cluster

    with Cluster() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def rig_lane(rig_cluster: Cluster) -> Iterator[Lane]:
    """Return a lane of the shared cluster."""
    from tests.rig.lanes import lane

    with lane(rig_cluster) as own:
        yield own
