"""KAI's five programs in one process: what they share is the mirrors of the API's collections."""

from __future__ import annotations

import sys
import time

import httpx

from tests.rig.api import Api, ApiError, Mirror, Object
from tests.rig.kai import reading
from tests.rig.kai.accounting import QUEUES, Accounting
from tests.rig.kai.cycle import decide, lacks_members
from tests.rig.kai.grouper import PODGROUPS, Grouper
from tests.rig.kai.hands import Hands
from tests.rig.kai.recorder import Recorder

__all__ = ["Parts"]


class Parts:
    """
    All parts of the stand-in.

    :param staleness_grace: seconds that a gang may run with too few members.
    """

    def __init__(self, api: Api, eviction_condition: bool, staleness_grace: float) -> None:
        self._grace = staleness_grace
        self._short: frozenset[str] = frozenset()
        self._nodes = Mirror(api, "/api/v1/nodes")
        self._priorities = Mirror(api, "/apis/scheduling.k8s.io/v1/priorityclasses")
        self._queues = Mirror(api, QUEUES, self._queue_changed)
        self._claims = Mirror(api, "/api/v1/persistentvolumeclaims")
        self._pods = Mirror(api, "/api/v1/pods", self._pod_changed)
        self._groups = Mirror(api, f"{PODGROUPS}/podgroups", self._group_changed)
        self._mirrors = (
            self._nodes,
            self._priorities,
            self._queues,
            self._claims,
            self._pods,
            self._groups,
        )
        scheduler = Recorder(api, "kai-scheduler", "kai-scheduler").start()
        binder = Recorder(api, "binder", "kai-binder").start()
        self._hands = Hands(api, scheduler, binder, eviction_condition)
        grouper = Recorder(api, "pod-grouper", "kai-podgrouper").start()
        self._grouper = Grouper(api, grouper, self._pods, self._groups, self._priorities)
        self._accounting = Accounting(api, self._pods, self._groups, self._queues, self._priorities)

    def read(self) -> None:
        """Begin to read all collections."""
        for mirror in self._mirrors:
            mirror.start()

    def has_read(self, seconds: float) -> bool:
        """Wait a while until every collection has been read once; tell whether that is so."""
        return all(mirror.synced.wait(seconds) for mirror in self._mirrors)

    def work(self) -> None:
        """Begin to group and count whatever comes."""
        for agenda in (self._grouper.agenda, self._accounting.groups, self._accounting.queues):
            agenda.start()

    def cycle(self) -> None:
        """Look and act once. An API server that cannot be reached now costs this cycle only."""
        pods = self._pods.objects
        self._hands.forget(pods)
        picture = reading.take(
            self._nodes.objects,
            self._queues.objects,
            self._groups.objects,
            pods,
            self._priorities.objects,
            self._claims.objects,
            self._hands.assumed,
        )
        try:
            self._hands.carry_out(decide(picture, time.time(), self._grace, self._short))
        except (ApiError, httpx.HTTPError) as error:
            print(f"this cycle was cut short: {error}", file=sys.stderr, flush=True)
        self._short = frozenset(group.id for group in picture.groups if lacks_members(group))

    def _pod_changed(self, old: Object | None, new: Object | None) -> None:
        self._grouper.pod_changed(old, new)
        self._accounting.pod_changed(old, new)

    def _group_changed(self, old: Object | None, new: Object | None) -> None:
        self._accounting.group_changed(old, new)

    def _queue_changed(self, old: Object | None, new: Object | None) -> None:
        self._accounting.queue_changed(old, new)
