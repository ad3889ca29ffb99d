"""Writes Events, as the components of a cluster do."""

from __future__ import annotations

from collections.abc import Mapping

from tests.model.clock import timestamp
from tests.model.resources import EVENTS, Object
from tests.model.store import Store
from tests.rig.kai.correlator import Correlator, Happening, Written


class Recorder:
    """The voice of one component; what is over client-go's budget is lost."""

    def __init__(self, store: Store, component: str) -> None:
        self._store, self._component = store, component
        self._correlator = Correlator()

    def tell(
        self,
        thing: Object,
        type: str,
        reason: str,
        message: str,
        annotations: Mapping[str, str] | None = None,
    ) -> None:
        """Tell that something happened to an object."""
        metadata, now = thing["metadata"], self._store.clock.now()
        on = (thing["kind"], metadata["namespace"], metadata["name"], metadata["uid"])
        written = self._correlator.admit(Happening.of(on, type, reason, message, annotations), now)
        if written is not None:
            self._write(thing, written)

    def _write(self, thing: Object, written: Written) -> None:
        namespace = thing["metadata"]["namespace"]
        stands = self._store.find(EVENTS, namespace, written.name) if written.name else None
        changing = {
            "count": written.count,
            "lastTimestamp": timestamp(written.last),
            "message": written.happening.message,
        }
        if stands is not None:
            self._store.change(EVENTS, stands, lambda one: one.update(changing))
            return
        written.name = f"{thing['metadata']['name']}.{self._store.version:x}"
        involved = {key: thing["metadata"][key] for key in ("namespace", "name", "uid")}
        self._store.create(
            EVENTS,
            {
                "metadata": {
                    "name": written.name,
                    "namespace": namespace,
                    "annotations": dict(written.happening.annotations),
                },
                "involvedObject": {
                    **involved,
                    "kind": thing["kind"],
                    "apiVersion": thing["apiVersion"],
                    "resourceVersion": thing["metadata"]["resourceVersion"],
                },
                "type": written.happening.type,
                "reason": written.happening.reason,
                "firstTimestamp": timestamp(written.first),
                "source": {"component": self._component},
                "reportingComponent": self._component,
                **changing,
            },
        )
