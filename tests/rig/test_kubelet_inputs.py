"""The stand-in for the kubelet: what a container gets, environment and volumes, and what it gives, its log."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.rig.api import ApiError
from tests.rig.cluster import Cluster
from tests.rig.pods import PATIENT, Client
from tests.rig.waiting import until

pytestmark = [pytest.mark.rig, pytest.mark.slow]


@pytest.fixture
def client(rig_cluster: Cluster) -> Iterator[Client]:
    with Client(rig_cluster) as client:
        yield client


def test_the_environment_comes_from_values_fields_config_maps_and_secrets(
    rig_cluster: Cluster, client: Client
) -> None:
    client.make("configmaps", "settings", data={"RATE": "0.1", "mode": "fast"})
    client.make("secrets", "access", stringData={"TOKEN": "s3cret"})
    env = [
        {"name": "PLAIN", "value": "rate=$(RATE) $(UNKNOWN)"},
        {"name": "RUNAI_RIG_FOLDER", "value": "/elsewhere"},
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['team']"}}},
        {"name": "MODE", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "mode"}}},
        {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "access", "key": "TOKEN"}}},
        {
            "name": "ABSENT",
            "valueFrom": {"secretKeyRef": {"name": "nothing", "key": "x", "optional": True}},
        },
    ]
    script = 'echo "$RUNAI_RIG_FOLDER|$HOSTNAME|$PLAIN|$NAME|$LABEL|$MODE|$TOKEN|${ABSENT-unset}|$X_RATE|$(NAME)"'
    source = [
        {"configMapRef": {"name": "settings"}},
        {"prefix": "X_", "configMapRef": {"name": "settings"}},
    ]
    client.run(
        "p",
        script,
        labels={"team": "nlp"},
        hostname="worker-0",
        main={"env": env, "envFrom": source},
    )
    client.wait("p", "Succeeded")
    marks = f"{rig_cluster.folder}|worker-0"  # what is left over is found by the first: no pod may change it
    assert client.log("p") == f"{marks}|rate=0.1 $(UNKNOWN)|p|nlp|fast|s3cret|unset|0.1|p\n"


def test_volumes_are_folders_that_containers_share_and_pods_keep(
    client: Client, tmp_path: Path
) -> None:
    client.make("configmaps", "code", data={"train.py": "print('trained')"})
    client.make("secrets", "access", stringData={"token": "s3cret"})
    _bind(client, "checkpoints", tmp_path / "claimed")
    volumes = [
        {
            "name": "code",
            "configMap": {"name": "code", "items": [{"key": "train.py", "path": "src/train.py"}]},
        },
        {"name": "access", "secret": {"secretName": "access"}},
        {"name": "data", "hostPath": {"path": str(tmp_path / "data")}},
        {"name": "claimed", "persistentVolumeClaim": {"claimName": "checkpoints"}},
        {
            "name": "identity",
            "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]},
        },
    ]
    mounts = [
        {"name": "code", "mountPath": "/code"},
        {"name": "access", "mountPath": "/var/run/access"},
        {"name": "data", "mountPath": "/data", "subPath": "run-1"},
        {"name": "claimed", "mountPath": "/checkpoints"},
        {"name": "identity", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"},
    ]
    script = "python /code/src/train.py; cat /var/run/access/token; echo 1 >> /checkpoints/count; echo x > $OUT"
    main = {
        "volumeMounts": mounts,
        "env": [{"name": "OUT", "value": "/data/out"}],
        "workingDir": "/checkpoints",
    }
    for name in ("first", "second"):
        client.run(
            name,
            f"{script}; echo /database; pwd",
            volumes=volumes,
            main=main,
            serviceAccountName="default",
        )
        client.wait(name, "Succeeded")
    assert client.log("first") == f"trained\ns3cret/database\n{tmp_path}/claimed\n"
    assert (tmp_path / "claimed" / "count").read_text() == "1\n1\n"
    assert (tmp_path / "data" / "run-1" / "out").read_text() == "x\n"


def test_a_volume_of_a_missing_config_map_keeps_the_pod_in_creation_and_says_why(
    client: Client,
) -> None:
    volumes = [{"name": "code", "configMap": {"name": "code"}}]
    client.run(
        "p",
        "true",
        volumes=volumes,
        main={"volumeMounts": [{"name": "code", "mountPath": "/code"}]},
    )
    until(lambda: client.events("p"), "the complaint")
    assert client.events("p") == [
        'Warning FailedMount: MountVolume.SetUp failed for volume "code" : configmap "code" not found'
    ]
    assert client.main("p")["state"] == {"waiting": {"reason": "ContainerCreating"}}


def test_a_log_can_be_asked_for_in_parts(client: Client) -> None:
    client.run("p", "for i in 1 2 3 4; do echo line $i; done; sleep 1.1; printf end")
    client.wait("p", "Succeeded")
    assert client.log("p", tailLines=2) == "line 4\nend\n"
    assert client.log("p", tailLines=0) == ""
    assert client.log("p", limitBytes=9) == "line 1\nli"
    assert client.log("p", sinceSeconds=3600).count("\n") == 5
    stamps = [line.split()[0] for line in client.log("p", timestamps="true").splitlines()]
    assert stamps == sorted(stamps)
    assert client.log("p", sinceTime=stamps[-1]) == "end\n"


def test_a_follower_gets_the_last_words_of_a_deleted_pod_and_a_clean_end(client: Client) -> None:
    client.run("p", PATIENT)
    client.wait("p", "Running")
    lines: list[str] = []
    follower = threading.Thread(
        target=lambda: lines.extend(client.log("p", follow="true").splitlines())
    )
    follower.start()
    until(lambda: client.log("p") == "start\n", "the trap")
    client.delete("p")
    follower.join(60)
    assert (lines[0], lines[-1]) == ("start", "got SIGTERM")
    client.wait_gone("p")
    with pytest.raises(ApiError, match='404 NotFound pods "p" not found'):
        client.log("p")


def test_what_cannot_be_had_is_refused_in_the_words_of_a_kubelet(client: Client) -> None:
    client.run("p", "sleep 0.1")
    client.wait("p", "Succeeded")
    with pytest.raises(
        ApiError, match='400 BadRequest previous terminated container "main" in pod "p" not found'
    ):
        client.log("p", previous="true")
    with pytest.raises(ApiError, match="400 BadRequest container nosuch is not valid for pod p"):
        client.log("p", container="nosuch")
    upgrade = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    with pytest.raises(ApiError, match=r"501 .*runs no commands in containers"):
        client.api.ask(
            "POST",
            f"{client.path}/p/exec",
            params={"command": "ls", "stdout": "true"},
            headers=upgrade,
        )


def test_long_output_is_neither_lost_nor_torn(client: Client) -> None:
    client.run("p", "seq 1 20000")
    client.wait("p", "Succeeded")
    assert client.log("p") == "".join(f"{number}\n" for number in range(1, 20001))


def test_what_a_command_leaves_behind_ends_with_it(client: Client) -> None:
    client.run("p", "sleep 600 & echo $!; exit 0")
    client.wait("p", "Succeeded")
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(int(client.log("p"))).status() == psutil.STATUS_ZOMBIE


def _bind(client: Client, name: str, folder: Path) -> None:
    """Make a claim and its volume, bound by hand: no volume controller runs here."""
    size, modes = {"storage": "1Gi"}, ["ReadWriteMany"]
    spec = {"accessModes": modes, "storageClassName": "", "volumeName": client.namespace}
    client.make("persistentvolumeclaims", name, spec={**spec, "resources": {"requests": size}})
    volume = {"accessModes": modes, "capacity": size, "hostPath": {"path": str(folder)}}
    client.api.create(
        "/api/v1/persistentvolumes", {"metadata": {"name": client.namespace}, "spec": volume}
    )
