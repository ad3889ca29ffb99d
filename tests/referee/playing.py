"""Plays the causes of a recording on a cluster, and returns what its client saw today."""

from __future__ import annotations

import asyncio
import dataclasses

from tests.recording_forms import Recording
from tests.referee.scenes import SCENES
from tests.referee.stage import Stage
from tests.rig.cluster import Cluster
from tests.rig.furnishing import TEAMS
from tests.rig.waiting import until

#: Whatever a scene may leave in the namespaces of the teams; owners before what they own.
_LEFTOVERS = (
    "/apis/jobset.x-k8s.io/v1alpha2/namespaces/{}/jobsets",
    "/apis/batch/v1/namespaces/{}/jobs",
    "/api/v1/namespaces/{}/pods",
    "/apis/kueue.x-k8s.io/v1beta2/namespaces/{}/workloads",
    "/apis/scheduling.run.ai/v2alpha2/namespaces/{}/podgroups",
    "/api/v1/namespaces/{}/events",
)


def play(cluster: Cluster, recording: Recording) -> Recording:
    """
    Play a recording's causes on a cluster that nobody else uses meanwhile.

    :returns: the same recording, with today's conversation.
    """
    clear(cluster)
    stage = Stage(cluster, recording)
    with stage.afterwards:
        asyncio.run(SCENES[f"{recording.path.parent.name}/{recording.header.scenario}"](stage))
    return dataclasses.replace(recording, entries=stage.client.entries)


def clear(cluster: Cluster) -> None:
    """Remove what earlier scenes left, so that the client begins in empty namespaces."""
    for leftovers in _LEFTOVERS:
        for team in TEAMS:
            path = leftovers.format(team)
            cluster.api.delete(path)
            until(lambda path=path: not cluster.api.get(path)["items"], f"an empty {path}")  # type: ignore[misc]
