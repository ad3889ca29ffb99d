"""
The same histories on Kubernetes: the platform is the model of ``tests/model``, with KAI.

Rooms: ``world`` (the truth, read from the model's store) · ``training`` · ``scripts`` (what the
containers do) · ``wire`` (requests and streams) · ``people`` · ``random_history`` · ``scenes`` ·
``invariants`` (judges beside those of all platforms) · ``attention`` (what excuses) ·
``connection``.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.simulation.clock import VirtualLoop
from tests.simulation.history import Cluster, Life, Platform
from tests.simulation.kubernetes.connection import connection
from tests.simulation.kubernetes.people import ClusterPeople
from tests.simulation.kubernetes.wire import ClusterWire
from tests.simulation.kubernetes.world import ClusterWorld
from tests.simulation.story import Story

__all__ = ["ClusterPeople", "built", "connection"]


def built(
    cluster: Cluster,
    loop: VirtualLoop,
    story: Story,
    platform: Platform,
    lives: Sequence[Life],
    chance: random.Random,
    pace: random.Random,
    aside: random.Random,
) -> tuple[ClusterWorld, ClusterWire]:
    """
    Return a cluster, and the wire to it.

    :param chance: for the cluster itself.
    :param pace: for the wire, as for that to a control plane; so is ``aside``.
    """
    world = ClusterWorld(loop, story, platform, lives, chance, cluster=cluster)
    return world, ClusterWire(loop, world, story, pace, aside)
