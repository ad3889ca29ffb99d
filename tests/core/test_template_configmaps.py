"""
Templates of the old command line: every documented key lands, is named as left out, or is refused.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.templates import Template, import_configmap, library, load_template, resolve
from airflow_runai.errors import SpecError

#: As the vendor's page of 2020-11 shows it.
DOCUMENTED = """
apiVersion: v1
kind: ConfigMap
data:
  name: template-1
  description: "my first template"
  values: |
    gpu:
      required: true
    image:
      value: tensorflow/tensorflow:1.14.0-gpu-py3
    environments:
      - LEARNING_RATE=0.2
      - MYUSER=$USER
      - MYPASSWORD=SECRET:my-secret,cred-pass
metadata:
  name: template-1
  namespace: runai
  labels:
    runai/template: "true"
"""


def made(values: dict[str, Any], name: str = "old", **metadata: Any) -> Template:
    data = {"name": name, "values": yaml.safe_dump(values)}
    return import_configmap(
        {"kind": "ConfigMap", "data": data, "metadata": {"name": "object", **metadata}}, "cm.yaml"
    )


def problems(values: dict[str, Any]) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        made(values)
    return caught.value.problems


def effective(template: Template, call: dict[str, Any]) -> dict[str, Any]:
    return resolve(template.name, {template.name: template}, call, None).spec


HOST = {"path": "/a", "mount_path": "/b", "read_only": False}
WITH_COMMAND = {"command": {"value": "true"}, "extra-args": ["python", "train.py", "--lr=a b"]}
#: Keys of reference C.1: the shape of 2020, and names of the chart that those values went into.
OLD: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "image": ({"image": "x:1"}, {"image": "x:1"}),
    "gpu": ({"gpu": 2}, {"compute": {"gpu_devices": 2}}),
    "a share": ({"gpu": 0.5}, {"compute": {"gpu_portion": 0.5}}),
    "gpuInt": ({"gpuInt": 1}, {"compute": {"gpu_devices": 1}}),
    "gpuFraction": ({"gpuFraction": "0.2"}, {"compute": {"gpu_portion": 0.2}}),
    "elastic": ({"elastic": True}, {"annotations": {"elastic": "true"}}),
    "args": ({"args": ["--lr", "a b"]}, {"args": "--lr 'a b'"}),
    "command": ({"command": ["./s.sh"], "args": ["x"]}, {"command": "./s.sh", "args": "x"}),
    "environmentDefault": ({"environmentDefault": ["A=b=c", "B="]}, {"environment": {"A": "b=c", "B": ""}}),
    "environment": ({"environment": ["A=1"]}, {"environment": {"A": "1"}}),
    "volumeDefault": ({"volumeDefault": ["/a:/b"]}, {"storage": {"host_path": [HOST]}}),
    "volume": ({"volume": ["/a:/b:rw"]}, {"storage": {"host_path": [HOST]}}),
    "portsDefault": ({"portsDefault": ["80"]}, {"raw": {"ports": [{"container": 80}]}}),
    "ports": ({"ports": ["30080:80"]}, {"raw": {"ports": [{"container": 80, "external": 30080}]}}),
    "persistentVolumes": (
        {"persistentVolumes": ["c:/p"]}, {"storage": {"pvc": [{"claim": "c", "path": "/p", "existing": True}]}}),
    "ttlAfterFinish": ({"ttlAfterFinish": "1h30m"}, {"auto_deletion": 5400}),
    "ttlSecondsAfterFinished": ({"ttlSecondsAfterFinished": 90}, {"auto_deletion": 90}),
    "cpu": ({"cpu": "500m", "cpuLimit": 2}, {"compute": {"cpu_cores": 0.5, "cpu_cores_limit": 2}}),
    "memory": ({"memory": "1G", "memoryLimit": "2G"}, {"compute": {"cpu_memory": "1G", "cpu_memory_limit": "2G"}}),
    "shm": ({"shm": True}, {"compute": {"large_shm": True}}),
    "hostIPC": ({"hostIPC": True, "hostNetwork": False}, {"security": {"host_ipc": True, "host_network": False}}),
    "node_type": ({"node_type": "dgx"}, {"node_type": "dgx"}),
    "nodeType": ({"nodeType": "dgx"}, {"node_type": "dgx"}),
    "workingDir": ({"workingDir": "/w"}, {"working_dir": "/w"}),
    "localImage": ({"localImage": True}, {"image_pull_policy": "Never"}),
    "preventPrivilegeEscalation": (
        {"preventPrivilegeEscalation": True}, {"security": {"allow_privilege_escalation": False}}),
    "createUserDir": ({"createUserDir": True}, {"create_home_dir": True}),
    "interactive off": ({"interactive": False}, {}),
}  # fmt: skip
#: Keys of reference C.2: the shape from 2020-11 on.
NEW: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "always-pull-image": ({"always-pull-image": {"value": "true"}}, {"image_pull_policy": "Always"}),
    "attach": ({"attach": {"value": "true"}}, {}),
    "cpu": ({"cpu": {"value": "1"}, "cpu-limit": {"value": "2"}}, {"compute": {"cpu_cores": 1, "cpu_cores_limit": 2}}),
    "create-home-dir": ({"create-home-dir": {"value": "true"}}, {"create_home_dir": True}),
    "gpu": ({"gpu": {"value": "0.5"}}, {"compute": {"gpu_portion": 0.5}}),
    "host-ipc": ({"host-ipc": {"value": "true"}}, {"security": {"host_ipc": True}}),
    "host-network": ({"host-network": {"value": "1"}}, {"security": {"host_network": True}}),
    "image": ({"image": {"value": "x:1", "required": True}}, {"image": "x:1"}),
    "interactive": ({"interactive": {"value": "false"}}, {}),
    "large-shm": ({"large-shm": {"value": "true"}}, {"compute": {"large_shm": True}}),
    "local-image": ({"local-image": {"value": "true"}}, {"image_pull_policy": "Never"}),
    "memory": (
        {"memory": {"value": "1G"}, "memory-limit": {"value": "2G"}},
        {"compute": {"cpu_memory": "1G", "cpu_memory_limit": "2G"}}),
    "node-type": ({"node-type": {"value": "dgx"}}, {"node_type": "dgx"}),
    "working-dir": ({"working-dir": {"value": "/w"}}, {"working_dir": "/w"}),
    "name": ({"name": {"value": "job"}}, {}),
    "job-name-prefix": ({"job-name-prefix": {"value": "acme"}}, {}),
    "prevent-privilege-escalation": (
        {"prevent-privilege-escalation": {"value": "true"}}, {"security": {"allow_privilege_escalation": False}}),
    "run-as-user": (
        {"run-as-user": {"value": "true"}},
        {"security": {"uid_gid_source": "fromIdpToken"}, "create_home_dir": True}),
    "command": (WITH_COMMAND, {"command": "python train.py '--lr=a b'"}),
    "extra-args": ({"extra-args": ["-p", "x"]}, {"args": "-p x"}),
    "backofflimit": ({"backofflimit": {"value": "3"}}, {"backoff_limit": 3}),
    "elastic": ({"elastic": {"value": "true"}}, {"annotations": {"elastic": "true"}}),
    "parallelism": ({"parallelism": {"value": "1"}}, {"parallelism": 1}),
    "preemptible": ({"preemptible": {"value": "true"}}, {}),
    "jupyter": ({"jupyter": {"value": "false"}}, {}),
    "ttl-after-finish": ({"ttl-after-finish": {"value": "2m"}}, {"auto_deletion": 120}),
    "processes": ({"processes": {"value": "4"}}, {"distributed": {"framework": "MPI", "workers": 4}}),
    "environments": (
        {"environments": ["A=1", "P=SECRET:s,k"]},
        {"environment": {"A": "1", "P": {"secret": {"name": "s", "key": "k"}}}}),
    "volumes": ({"volumes": ["/a:/b"]}, {"storage": {"host_path": [HOST]}}),
    "ports": ({"ports": ["80"]}, {"raw": {"ports": [{"container": 80}]}}),
    "pvcs": (
        {"pvcs": [":10G:/p"]},
        {"storage": {"pvc": [{"size": "10G", "path": "/p", "existing": False, "access_mode": "ReadWriteOnce"}]}}),
    "git-sync": (
        {"git-sync": {"source": {"value": "https://git/x"}, "branch": {"value": "b"}, "rev": {"value": "r"},
                      "image": {"value": "i"}, "target": {"value": "/t"}}},
        {"storage": {"git": [{"repository": "https://git/x", "branch": "b", "revision": "r", "path": "/t"}]}}),
}  # fmt: skip
#: Keys of which only the reason lands.
LEFT_OUT = {"attach", "name", "job-name-prefix", "preemptible"}


@pytest.mark.parametrize(("values", "spec"), OLD.values(), ids=OLD)
def test_every_key_of_2020_lands(values: dict[str, Any], spec: dict[str, Any]) -> None:
    found = made(values)
    assert (dict(found.spec), found.warnings) == (spec, ())


@pytest.mark.parametrize("key", NEW)
def test_every_key_of_2020_11_lands_or_is_named(key: str) -> None:
    values, spec = NEW[key]
    found = made(values)
    assert dict(found.spec) == spec
    if key in LEFT_OUT:
        assert found.warnings[0].startswith((f"{key}: left out", f"--{key}: left out"))
    WorkloadSpec.from_mapping({"image": "x", **found.spec})


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"interactive": {"value": "true"}}, "as a flag, --interactive: for interactive work"),
        ({"jupyter": {"value": "true"}}, "as a flag, --jupyter: for interactive work"),
        ({"jupyter": True}, "as a flag, --jupyter: for interactive work"),
        (
            {"service-type": {"value": "nodeport"}},
            "as a flag, --service-type: for interactive work only",
        ),
        ({"serviceType": "ingress"}, "as a flag, --service-type: for interactive work only"),
        ({"gpus": {"value": "1"}}, "line 1: gpus: unknown key; did you mean 'gpu'?"),
        ({"template": {"value": "x"}}, "line 1: template: unknown key"),
        ({"image": {"valeu": "x"}}, "line 1: image: valeu: unknown; allowed: value, required"),
        (
            {"image": {"value": "x", "required": "perhaps"}},
            "line 1: image: 'perhaps' is not a boolean",
        ),
        ({"command": {"value": "./start.sh"}}, "line 1: command: './start.sh' is not a boolean"),
        ({"gpu": {"value": "two"}}, "as a flag, --gpu: 'two'; allowed: a whole number of GPUs"),
        ({"gpu": ["1"]}, "line 1: gpu: a list; allowed: one value"),
        ({"volumes": [["/a:/b"]]}, "line 1: volumes: neither a value nor a list of values"),
        ({"volumes": ["/a"]}, "as a flag, --volume: '/a'; allowed: SOURCE:TARGET"),
        ({"environments": ["hunter2"]}, "as a flag, --environment: found no '='"),
        (
            {"git-sync": {"source": {"value": "u"}, "password": {"value": "hunter2"}}},
            "--git-sync: password=… (not",
        ),
        (
            {"git-sync": {"source": {"value": "u"}, "username": {"value": "hunter2"}}},
            "--git-sync: username=… (not",
        ),
        ({"git-sync": {"branch": {"value": "b"}}}, "--git-sync: source missing"),
    ],
)
def test_what_cannot_be_taken_over_is_refused(values: dict[str, Any], sentence: str) -> None:
    found = problems(values)
    assert [one for one in found if one.startswith("cm.yaml, data.values") and sentence in one], (
        found
    )
    assert "hunter2" not in str(found)


def test_all_that_is_wrong_with_a_configmap_is_told_at_once() -> None:
    found = problems(
        {"gpus": {"value": "1"}, "interactive": {"value": "true"}, "gpu": {"value": "x"}}
    )
    assert len(found) == 3


def test_the_documented_example_is_read_from_a_file_and_keeps_what_is_required() -> None:
    template = load_template(DOCUMENTED, "template-1.yaml")
    assert template.required == ("compute.gpu_devices | compute.gpu_portion",)
    assert template.description == "my first template"
    with pytest.raises(
        SpecError, match=r"spec\.compute\.gpu_devices or spec\.compute\.gpu_portion: missing"
    ):
        effective(template, {})
    assert effective(
        template, {"compute": {"gpu_portion": 0.5}, "environment": {"LEARNING_RATE": 1}}
    ) == {
        "image": "tensorflow/tensorflow:1.14.0-gpu-py3",
        "environment": {
            "LEARNING_RATE": 1,
            "MYUSER": "$USER",
            "MYPASSWORD": {"secret": {"name": "my-secret", "key": "cred-pass"}},
        },
        "compute": {"gpu_portion": 0.5},
    }


@pytest.mark.parametrize(
    ("key", "required"),
    [
        ("image", "image"),
        ("working-dir", "working_dir"),
        ("memory", "compute.cpu_memory"),
        ("gpu", "compute.gpu_devices | compute.gpu_portion"),
        ("ttl-after-finish", "auto_deletion"),
        ("processes", "distributed.workers"),
        ("run-as-user", "security.uid_gid_source"),
    ],
)
def test_required_becomes_a_required_key(key: str, required: str) -> None:
    assert made({key: {"required": True}}).required == (required,)


@pytest.mark.parametrize("key", ["name", "job-name-prefix", "attach", "interactive", "preemptible"])
def test_required_without_a_meaning_here_is_named(key: str) -> None:
    found = made({key: {"required": "true"}})
    assert (found.required, len(found.warnings)) == ((), 1)
    assert found.warnings[0].startswith(f"{key}: 'required' is left out: ")


def test_variables_of_a_users_shell_are_never_filled_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNAI_TEMPLATE_TEST", "leaked")
    values = {
        "environments": ["A=${RUNAI_TEMPLATE_TEST}", "B=$RUNAI_TEMPLATE_TEST"],
        "image": {"value": "x:${TAG}"},
    }
    found = made(values)
    assert found.spec["environment"] == {"A": "${RUNAI_TEMPLATE_TEST}", "B": "$RUNAI_TEMPLATE_TEST"}
    assert found.spec["image"] == "x:${TAG}"
    assert found.warnings[-1].startswith(
        "$RUNAI_TEMPLATE_TEST, ${RUNAI_TEMPLATE_TEST}, ${TAG}: kept as it stands"
    )


def test_default_lists_of_2020_are_joined_and_the_others_give_way() -> None:
    call = {
        "environment": {"X": 1},
        "storage": {"host_path": [{"path": "/x", "mount_path": "/y"}]},
        "raw": {"ports": [{"container": 1}]},
    }
    joined = made(
        {"environmentDefault": ["A=1"], "volumeDefault": ["/a:/b"], "portsDefault": ["80"]}
    )
    assert effective(joined, call) == {
        "environment": {"A": "1", "X": 1},
        "storage": {"host_path": [HOST, {"path": "/x", "mount_path": "/y"}]},
        "raw": {"ports": [{"container": 80}, {"container": 1}]},
    }
    gives_way = made({"environment": ["A=1"], "volume": ["/a:/b"], "ports": ["80"]})
    assert effective(gives_way, call) == call
    assert effective(gives_way, {})["environment"] == {"A": "1"}
    both = made({"environment": ["A=1"], "environmentDefault": ["B=2"]})
    assert effective(both, call)["environment"] == {"A": "1", "B": "2", "X": 1}
    assert both.warnings[0].startswith("environment: beside environmentDefault both are added to")


def test_lists_of_2020_11_are_joined() -> None:
    template = made({"volumes": ["/a:/b"], "ports": ["80"], "image": {"value": "x"}})
    assert template.replaceable == ()
    assert len(effective(template, {"raw": {"ports": [{"container": 1}]}})["raw"]["ports"]) == 2


def test_the_admins_template_becomes_the_admins_defaults() -> None:
    assert made({"gpu": {"value": "1"}}, name="template-admin").name == "admin"
    given = {"metadata": {"name": "template-admin"}, "data": {"name": "x", "values": "image: x"}}
    assert (import_configmap(given).name, import_configmap(given).locked) == ("admin", ())


def test_the_default_of_2020_says_that_tasks_must_name_it() -> None:
    found = made({"image": "x"}, annotations={"runai/default": "true"})
    assert found.warnings == (
        "runai/default: it applied where no template was named; now each task names it",
    )


def test_a_distributed_template_says_its_kind() -> None:
    assert made({"processes": {"value": "4"}}).kind == "distributed"
    assert made({"gpu": {"value": "4"}}).kind is None


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"kind": "ConfigMap"}, "found no text under data.values"),
        (
            {"kind": "ConfigMap", "data": {"values": {"image": "x"}}},
            "found no text under data.values",
        ),
        (
            {"apiVersion": "v1", "data": {"fields": "gpu: {}"}},
            "data.fields is the form of the web interface",
        ),
        (
            {"kind": "ConfigMap", "data": {"name": "a", "values": "- x"}},
            "data.values: no single mapping",
        ),
        (
            {"kind": "ConfigMap", "data": {"name": "a", "values": "x: 1\nx: 2"}},
            "data.values, line 2: x: stands twice",
        ),
        (
            {"kind": "ConfigMap", "data": {"name": "a", "values": "x: !!python/name:os {}"}},
            "line 1: the tag",
        ),
        (
            {"kind": "ConfigMap", "data": {"name": "a b", "values": "image: x"}},
            "name: 'a b'; allowed: letters",
        ),
        ({"kind": "ConfigMap", "data": {"values": "image: x"}}, "name: ''; allowed: letters"),
    ],
)
def test_an_object_that_is_no_template_is_refused(given: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SpecError) as caught:
        library({"cm.yaml": json.dumps(given)})
    assert caught.value.problems[0].startswith("cm.yaml")
    assert sentence in caught.value.problems[0]
