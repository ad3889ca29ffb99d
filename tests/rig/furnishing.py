"""What every cluster holds from its start: kinds, webhooks, namespaces, priorities and the queues of two teams."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from tests.rig import extensions, objects
from tests.rig.api import Api, Object, name_of
from tests.rig.certificates import Authority
from tests.rig.parts import Site
from tests.rig.waiting import RigError, until

__all__ = ["TEAMS", "apply_kinds", "await_kinds", "make_kueue_queues", "open_webhooks"]

#: Two teams, each with a namespace, a queue of KAI and one of Kueue of its name, and one GPU of
#: quota.
TEAMS = ("team-a", "team-b")
#: All ClusterQueues of the teams lend to each other.
COHORT = "pool"
LOCAL_QUEUE = "train"
QUEUES = "queues.scheduling.run.ai"


def apply_kinds(api: Api, site: Site, families: Sequence[str], webhooks: Authority) -> list[Object]:
    """Make the custom resource definitions of some of ``kai``, ``jobset`` and ``kueue``."""
    kinds: list[Object] = []
    if "kai" in families:
        kinds += _apply_kinds_of_kai(api, site.kai_home / "crds")
    if "jobset" in families:
        kinds += extensions.apply_kinds(api, site.programs.crds("jobset"))
    if "kueue" in families:
        _give_kueue_its_certificate(api, site, webhooks)
        converter = extensions.client_config(site.ports["kueue-webhook"], "/convert", webhooks.pem)
        kinds += extensions.apply_kinds(api, site.programs.crds("kueue"), converter)
    return kinds


def await_kinds(api: Api, kinds: Sequence[Object]) -> None:
    """Wait until the server serves all kinds."""
    for kind in kinds:
        until(partial(extensions.served, api, kind), f"the kind {name_of(kind)}")


def open_webhooks(api: Api, site: Site, families: Sequence[str], authority: bytes) -> None:
    """Let the API server ask JobSet and Kueue, which must run by now."""
    for family in families:
        if family in extensions.ASKED:
            port = site.ports[f"{family}-webhook"]
            extensions.apply_webhooks(api, family, site.programs.webhooks(family), port, authority)


def make_kai_queues(api: Api) -> None:
    """Make KAI's queues: a parent without bound, and one queue for each team."""
    objects.add_queue(api, "parent", quota=-1, parent=None)
    for team in TEAMS:
        objects.add_queue(api, team)


def make_kueue_queues(api: Api) -> None:
    """Make Kueue's queues for the teams, and wait until they take work."""
    objects.prepare_kueue(api)
    for team in TEAMS:
        objects.add_quota_queue(api, team, cohort=COHORT)
        objects.add_local_queue(api, team, LOCAL_QUEUE, team)
    for team in TEAMS:
        until(partial(objects.takes_work, api, team), f"the ClusterQueue {team}")


def _apply_kinds_of_kai(api: Api, folder: Path) -> list[Object]:
    """Make what a folder defines, which may be anybody's."""
    kinds = extensions.apply_kinds(api, sorted(folder.glob("*.yaml")))
    if QUEUES not in map(name_of, kinds):
        raise RigError(f"{folder}: no *.yaml in it defines {QUEUES}, of which the rig makes some")
    return kinds


def _give_kueue_its_certificate(api: Api, site: Site, webhooks: Authority) -> None:
    """Make the Secret that Kueue would otherwise make, with a certificate for 127.0.0.1 too."""
    objects.add_namespace(api, "kueue-system")
    pair = site.webhook_pair
    content = {
        "ca.crt": webhooks.pem,
        "ca.key": webhooks.key_pem,
        "tls.crt": pair.certificate.read_bytes(),
        "tls.key": pair.key.read_bytes(),
    }
    data = {name: base64.b64encode(value).decode() for name, value in content.items()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "kueue-webhook-server-cert"},
        "data": data,
    }
    api.apply("/api/v1/namespaces/kueue-system/secrets", secret)
