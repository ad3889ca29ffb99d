"""Pods for the tests of the kubelet's stand-in, and what a watching client sees of them."""

from __future__ import annotations

import secrets
from typing import Any

from tests.rig.api import Api, Mirror, Object
from tests.rig.cluster import Cluster
from tests.rig.waiting import until
from tests.support.patience import PATIENCE

__all__ = ["PATIENT", "Client", "facts"]

#: Ends with 143 at once on SIGTERM, else after 60 s.
PATIENT = "trap 'echo got SIGTERM; exit 143' TERM; echo start; sleep 60 & wait $!"


class Client:
    """
    Makes pods in a new namespace, and writes down every distinct state that a watch shows of each.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.namespace = f"lab-{secrets.token_hex(4)}"
        cluster.add_namespace(self.namespace)
        self.api: Api = cluster.api
        self.path = f"/api/v1/namespaces/{self.namespace}/pods"
        self.seen: dict[str, list[str]] = {}
        self.gone: set[str] = set()
        self._mirror = Mirror(self.api, self.path, self._note).start()
        self._mirror.synced.wait(PATIENCE)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *error: object) -> None:
        self._mirror.stop()

    def make(self, kind: str, name: str, **content: Any) -> None:
        """Make an object of the core in the namespace."""
        self.api.create(
            f"/api/v1/namespaces/{self.namespace}/{kind}", {"metadata": {"name": name}, **content}
        )

    def run(
        self, name: str, script: str, orders: dict[str, str] | None = None, **spec: Any
    ) -> None:
        """Make a pod that runs a shell script in a container ``main``; ``spec`` adds to its specification."""
        annotations = {
            f"rig.airflow-runai/{order}": value for order, value in (orders or {}).items()
        }
        main = {
            "name": "main",
            "image": "registry.example/train:1",
            "command": ["sh", "-c", script],
        }
        main |= spec.pop("main", {})
        body = {
            "metadata": {
                "name": name,
                "annotations": annotations,
                "labels": spec.pop("labels", {}),
            },
            "spec": {
                "nodeName": "node-0",
                "restartPolicy": "Never",
                "terminationGracePeriodSeconds": 60,
                "containers": [main, *spec.pop("others", [])],
                **spec,
            },
        }
        self.api.create(self.path, body)

    def order(self, name: str, order: str, value: str | None) -> None:
        """Give an order to the stand-in for the kubelet, or take it back; see :mod:`tests.rig.kubelet`."""
        self.api.merge(
            f"{self.path}/{name}",
            {"metadata": {"annotations": {f"rig.airflow-runai/{order}": value}}},
        )

    def get(self, name: str) -> Object:
        return self.api.get(f"{self.path}/{name}")

    def main(self, name: str) -> Object:
        """The status of a pod's container."""
        return dict(self.get(name)["status"].get("containerStatuses", [{"state": {}}])[0])

    def wait(self, name: str, *phases: str) -> Object:
        """Wait until a pod is in one of some phases; return it."""
        until(
            lambda: self.get(name)["status"].get("phase") in phases,
            f"{' or '.join(phases)} of {name}",
            60,
        )
        return self.get(name)

    def wait_gone(self, name: str) -> None:
        until(lambda: name in self.gone, f"the end of {name}", 60)

    def delete(self, name: str, **details: Any) -> None:
        self.api.delete(f"{self.path}/{name}", **details)

    def log(self, name: str, **params: Any) -> str:
        return self.api.ask("GET", f"{self.path}/{name}/log", params=params).text

    def events(self, name: str) -> list[str]:
        """Type, reason and message of a pod's events, oldest first."""
        selector = f"involvedObject.name={name}"
        events = self.api.get(self.path.replace("/pods", "/events"), fieldSelector=selector)[
            "items"
        ]
        events.sort(key=lambda event: int(event["metadata"]["resourceVersion"]))
        return [f"{event['type']} {event['reason']}: {event['message']}" for event in events]

    def _note(self, old: Object | None, new: Object | None) -> None:
        pod = new or old or {}
        seen = self.seen.setdefault(pod["metadata"]["name"], [])
        if new is None:
            self.gone.add(pod["metadata"]["name"])
        elif not seen or seen[-1] != facts(pod):
            seen.append(facts(pod))


def facts(pod: Object) -> str:
    """What a client can tell apart about a pod, without times, names and addresses; one line."""
    meta, status = pod["metadata"], pod["status"]
    deleted = (
        f"deleted({meta['deletionGracePeriodSeconds']}) " if "deletionTimestamp" in meta else ""
    )
    states = " ".join(_state(one) for one in status.get("containerStatuses", []))
    conditions = " ".join(_condition(one) for one in status.get("conditions", []))
    address = " ip" if "podIP" in status else ""
    return f"{deleted}{status['phase']}{address} [{states}] {conditions}".rstrip()


def _state(container: Object) -> str:
    ((kind, more),) = container["state"].items()
    detail = (
        f"{more['exitCode']} {more['reason']}" if kind == "terminated" else more.get("reason", "")
    )
    return f"{kind} {detail}".strip() + (
        f" restarts={container['restartCount']}" if container["restartCount"] else ""
    )


def _condition(one: Object) -> str:
    return f"{one['type']}={one['status'][0]}" + (f"/{one['reason']}" if one.get("reason") else "")
