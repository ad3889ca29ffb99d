from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_runai.core import storage
from airflow_runai.core.fields import declared
from airflow_runai.core.pod_spec import Toleration
from airflow_runai.core.spec import WorkloadSpec, check_keys, key_table
from airflow_runai.errors import SpecError

IMAGE = {"image": "repo/train:1"}


def spec_of(**more: Any) -> dict[str, Any]:
    wire = WorkloadSpec.from_mapping({**IMAGE, **more}).to_wire()
    found: dict[str, Any] = wire["spec"]
    return found


def problems_of(given_spec: Any) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        WorkloadSpec.from_mapping(given_spec)
    assert "nothing was submitted" in str(caught.value)
    assert all(problem in str(caught.value) for problem in caught.value.problems)
    return caught.value.problems


PYTORCH = {"framework": "PyTorch"}
#: One example for every key: what an author writes, and what is sent for it (in ``spec``).
WIRE: dict[str, tuple[Any, Any]] = {
    "image": ("a:2", "a:2"),
    "image_pull_policy": ("Always", "Always"),
    "image_pull_secrets": (["s"], [{"name": "s"}]),
    "command": ("./startup.sh", "./startup.sh"),
    "args": ("--epochs 3", "--epochs 3"),
    "working_dir": ("/mydir/", "/mydir/"),
    "environment": (
        {"EPOCHS": 30, "FAST": True},
        [{"name": "EPOCHS", "value": "30"}, {"name": "FAST", "value": "true"}],
    ),
    "compute": ({"cpu_cores": "4"}, {"cpuCoreRequest": 4.0}),
    "storage": ({"nfs": [{"path": "/x", "server": "s"}]}, {"nfs": [{"path": "/x", "server": "s"}]}),
    "preemptibility": ("non-preemptible", "non-preemptible"),
    "priority": ("low", "low"),
    "node_pools": (["a100", "default"], ["a100", "default"]),
    "node_type": ("dgx", "dgx"),
    "tolerations": ([{"key": "gpu", "operator": "Exists"}], [{"key": "gpu", "operator": "Exists"}]),
    "backoff_limit": ("0", 0),
    "restart_policy": ("Never", "Never"),
    "termination_grace_period": (120, 120),
    "terminate_after_preemption": ("False", False),
    "auto_deletion": (3600, 3600),
    "completions": (3, 3),
    "parallelism": ("2", 2),
    "security": ({"run_as_uid": 1000}, {"runAsUid": 1000}),
    "labels": (
        {"team": "a", "n": 1},
        [{"name": "team", "value": "a"}, {"name": "n", "value": "1"}],
    ),
    "annotations": ({"a": "b"}, [{"name": "a", "value": "b"}]),
    "create_home_dir": (True, True),
    "distributed": ({**PYTORCH, "workers": 2}, None),
    "template_id": ("t-1", None),
    "raw": ({"stdin": True}, None),
    "compute.gpu_devices": ("2", 2),
    "compute.gpu_portion": ("0.5", 0.5),
    "compute.gpu_portion_limit": (1, 1.0),
    "compute.gpu_memory": ("10G", "10G"),
    "compute.gpu_memory_limit": ("20G", "20G"),
    "compute.cpu_cores": (0.5, 0.5),
    "compute.cpu_cores_limit": (4, 4.0),
    "compute.cpu_memory": ("16Gi", "16Gi"),
    "compute.cpu_memory_limit": ("500M", "500M"),
    "compute.large_shm": ("True", True),
    "compute.extended_resources": (
        {"nvidia.com/mig-1g": 1},
        [{"resource": "nvidia.com/mig-1g", "quantity": "1"}],
    ),
    "distributed.framework": ("PyTorch", "PyTorch"),
    "distributed.workers": ("2", 2),
    "distributed.min_replicas": (1, 1),
    "distributed.max_replicas": (4, 4),
    "distributed.slots_per_worker": (2, 2),
    "distributed.clean_pod_policy": ("None", "None"),
    "distributed.master": ({"command": "./master.sh"}, None),
    "security.run_as_uid": ("1000", 1000),
    "security.run_as_gid": (0, 0),
    "security.run_as_non_root": (True, True),
    "security.supplemental_groups": ("2,3", "2,3"),
    "security.uid_gid_source": ("custom", "custom"),
    "security.capabilities": (["SYS_PTRACE"], ["SYS_PTRACE"]),
    "security.allow_privilege_escalation": (False, False),
    "security.read_only_root": (True, True),
    "security.seccomp_profile": ("RuntimeDefault", "RuntimeDefault"),
    "security.host_ipc": (False, False),
    "security.host_network": (False, False),
    "storage.pvc": (
        [{"claim": "c", "path": "/c"}],
        [{"existingPvc": True, "claimName": "c", "path": "/c"}],
    ),
    "storage.nfs": (
        [{"path": "/nfs/john", "mount_path": "/mydir", "server": "s", "read_only": True}],
        [{"path": "/nfs/john", "mountPath": "/mydir", "server": "s", "readOnly": True}],
    ),
    "storage.host_path": (
        [{"path": "/d", "mount_path": "/m", "read_only": False, "mount_propagation": "None"}],
        [{"path": "/d", "mountPath": "/m", "readOnly": False, "mountPropagation": "None"}],
    ),
    "storage.git": (
        [
            {
                "repository": "https://x",
                "path": "/src",
                "branch": "b",
                "revision": "r",
                "secret": "s",
            }
        ],
        [
            {
                "repository": "https://x",
                "path": "/src",
                "branch": "b",
                "revision": "r",
                "secretRef": "s",
            }
        ],
    ),
    "storage.s3": (
        [{"bucket": "b", "path": "/b", "url": "https://s3", "secret": "k"}],
        [{"bucket": "b", "path": "/b", "url": "https://s3", "accessKeySecret": "k"}],
    ),
    "storage.config_map": (
        [{"name": "m", "mount_path": "/m", "sub_path": "a"}],
        [{"configMap": "m", "mountPath": "/m", "subPath": "a"}],
    ),
    "storage.secret": ([{"name": "s", "mount_path": "/s"}], [{"secret": "s", "mountPath": "/s"}]),
    "storage.data_volume": ([{"id": "d", "mount_path": "/d"}], [{"id": "d", "mountPath": "/d"}]),
    "storage.empty_dir": (
        [{"path": "/t", "medium": "Memory", "size_limit": "1Gi"}],
        [{"path": "/t", "medium": "Memory", "sizeLimit": "1Gi"}],
    ),
}
ROWS = key_table()


def test_every_key_has_an_example() -> None:
    assert {key for key, _, _ in ROWS} == set(WIRE)
    assert all(meaning for _, _, meaning in ROWS)


@pytest.mark.parametrize(("key", "wire"), [(key, wire) for key, wire, _ in ROWS])
def test_every_key_is_sent_under_its_name_on_the_wire(key: str, wire: str) -> None:
    written, sent = WIRE[key]
    part, dot, name = key.partition(".")
    base = PYTORCH if part == "distributed" else {}
    found = spec_of(**({part: {**base, name: written}} if dot else {part: written}))
    where: Any = found if not dot or part == "distributed" else found[part]
    if sent is None:
        assert wire not in found
    else:
        assert where[wire] == sent


def test_only_what_was_set_is_sent() -> None:
    assert WorkloadSpec.from_mapping(IMAGE).to_wire() == {
        "spec": {"image": "repo/train:1", "preemptibility": "preemptible"}
    }
    assert "compute" not in spec_of(compute={})


@pytest.mark.parametrize(
    ("cls", "key"), [(storage.Storage, name) for name in declared(storage.Storage)]
)
def test_every_kind_of_storage_has_all_of_its_keys_in_an_example(cls: type, key: str) -> None:
    kinds: Mapping[str, type] = {
        "pvc": storage.Pvc, "nfs": storage.Nfs, "host_path": storage.HostPath, "git": storage.Git, "s3": storage.S3,
        "config_map": storage.ConfigMap, "secret": storage.Secret, "data_volume": storage.DataVolume,
        "empty_dir": storage.EmptyDir,
    }  # fmt: skip
    written = set(WIRE[f"storage.{key}"][0][0]) | (set(PVC) if key == "pvc" else set())
    assert written == set(declared(kinds[key]))


PVC = {
    "claim": "c", "path": "/c", "size": "100G", "storage_class": "fast", "read_only": False, "ephemeral": False,
    "existing": False, "access_mode": "ReadWriteOnce",
}  # fmt: skip


def test_a_new_claim_carries_its_size_class_and_access_mode_nested() -> None:
    expected: dict[str, Any] = {
        "claimName": "c", "path": "/c", "readOnly": False, "ephemeral": False, "existingPvc": False,
        "claimInfo": {"size": "100G", "storageClass": "fast", "accessModes": {"readWriteOnce": True}},
    }  # fmt: skip
    assert spec_of(storage={"pvc": [PVC]})["storage"]["pvc"] == [expected]
    without = {key: value for key, value in PVC.items() if key != "existing"}
    assert spec_of(storage={"pvc": [without]})["storage"]["pvc"] == [expected]
    shared = {key: value for key, value in PVC.items() if key != "access_mode"}
    info = {**expected["claimInfo"], "accessModes": {"readWriteMany": True}}
    assert spec_of(storage={"pvc": [shared]})["storage"]["pvc"] == [{**expected, "claimInfo": info}]


@pytest.mark.parametrize(
    ("compute", "sent"),
    [
        (
            {"gpu_portion": 0.5},
            {"gpuDevicesRequest": 1, "gpuRequestType": "portion", "gpuPortionRequest": 0.5},
        ),
        (
            {"gpu_memory": "10G"},
            {"gpuDevicesRequest": 1, "gpuRequestType": "memory", "gpuMemoryRequest": "10G"},
        ),
        ({"gpu_devices": 2}, {"gpuDevicesRequest": 2}),
    ],
)
def test_a_share_of_a_gpu_names_its_kind_and_its_one_device(compute: Any, sent: Any) -> None:
    assert spec_of(compute=compute)["compute"] == sent


@pytest.mark.parametrize(
    ("variable", "sent"),
    [
        ({"secret": {"name": "k", "key": "K"}}, {"secret": {"name": "k", "key": "K"}}),
        ({"config_map": {"name": "m", "key": "K"}}, {"configMap": {"name": "m", "key": "K"}}),
        ({"credential": {"name": "c", "key": "K"}}, {"userCredential": {"name": "c", "key": "K"}}),
        ({"pod_field": "metadata.name"}, {"podFieldRef": {"path": "metadata.name"}}),
        (0.5, {"value": "0.5"}),
        ("", {"value": ""}),
    ],
)
def test_a_variable_comes_from_a_text_or_from_one_source(variable: Any, sent: Any) -> None:
    assert spec_of(environment={"X": variable})["environmentVariables"] == [{"name": "X", **sent}]


#: What an author writes, and a part of each sentence that must answer it.
BAD: dict[str, tuple[Any, list[str]]] = {
    "several misspelt keys": (
        {"imagee": "a", "comand": "x", "compute": {"gpus": 1, "gpu_devises": 1}, "zzz": 1, "image": "a"},
        [
            "spec.imagee: unknown key; did you mean 'image'?",
            "spec.comand: unknown key; did you mean 'command'?",
            "spec.zzz: unknown key; allowed: annotations,",
            "spec.compute.gpus: unknown key; ",
            "spec.compute.gpu_devises: unknown key; did you mean 'gpu_devices'?",
        ],
    ),
    "image missing": ({"command": "x"}, ["spec.image: missing; name the container image"]),
    "image none": ({"image": None}, ["spec.image: missing"]),
    "image empty": ({"image": " "}, ["spec.image: ' '; allowed: a text that is not empty"]),
    "portion above one": (
        {**IMAGE, "compute": {"gpu_portion": 1.5}},
        ["spec.compute.gpu_portion: 1.5; allowed: (0, 1]; for whole GPUs use gpu_devices"],
    ),
    "portion as text": ({**IMAGE, "compute": {"gpu_portion": "half"}}, ["spec.compute.gpu_portion: 'half'; allowed"]),
    "portion zero": ({**IMAGE, "compute": {"gpu_portion": 0}}, ["spec.compute.gpu_portion: 0; allowed: (0, 1]"]),
    "portion not a number": ({**IMAGE, "compute": {"gpu_portion": "nan"}}, ["spec.compute.gpu_portion: 'nan'"]),
    "portion with two devices": (
        {**IMAGE, "compute": {"gpu_portion": 0.5, "gpu_devices": 2}},
        ["spec.compute.gpu_portion: together with gpu_devices=2; a share is of one GPU, drop one of them"],
    ),
    "portion with no device": (
        {**IMAGE, "compute": {"gpu_portion": 0.5, "gpu_devices": 0}},
        ["spec.compute.gpu_portion: together with gpu_devices=0"],
    ),
    "memory with two devices": (
        {**IMAGE, "compute": {"gpu_memory": "1G", "gpu_devices": "2"}},
        ["spec.compute.gpu_memory: together with gpu_devices=2"],
    ),
    "portion and memory": (
        {**IMAGE, "compute": {"gpu_memory": "1G", "gpu_portion": 0.1}},
        ["spec.compute.gpu_memory: together with gpu_portion; allowed: one of the two"],
    ),
    "list for command": (
        {**IMAGE, "command": ["python", "x.py"], "args": ("a",)},
        ["spec.command: ['python', 'x.py'] is a list; allowed: one text", "spec.args: ('a',) is a list"],
    ),
    "infinite cores": ({**IMAGE, "compute": {"cpu_cores": float("inf")}}, ["spec.compute.cpu_cores: inf; allowed"]),
    "devices broken": ({**IMAGE, "compute": {"gpu_devices": 1.5}}, ["spec.compute.gpu_devices: 1.5; allowed: a whole"]),
    "devices true": ({**IMAGE, "compute": {"gpu_devices": True}}, ["spec.compute.gpu_devices: True; allowed: a whole"]),
    "devices negative": ({**IMAGE, "compute": {"gpu_devices": "-1"}}, ["at least 0"]),
    "quantity": ({**IMAGE, "compute": {"cpu_memory": "16 GB"}}, ["spec.compute.cpu_memory: '16 GB'; allowed: a quan"]),
    "flag": ({**IMAGE, "create_home_dir": "maybe"}, ["spec.create_home_dir: 'maybe'; allowed: true or false"]),
    "word": (
        {**IMAGE, "preemptibility": "preemptable"},
        ["spec.preemptibility: 'preemptable'; did you mean 'preemptible'? (allowed: preemptible, semi-preemptible,"],
    ),
    "relative path": ({**IMAGE, "working_dir": "work"}, ["spec.working_dir: 'work'; allowed: an absolute path"]),
    "a text for a part": ({**IMAGE, "compute": "2 GPUs"}, ["spec.compute: '2 GPUs' is a str; allowed: a mapping of"]),
    "a mapping for a list": ({**IMAGE, "storage": {"pvc": {"claim": "c"}}}, ["spec.storage.pvc: a dict; allowed: a "]),
    "an entry of a list": (
        {**IMAGE, "storage": {"pvc": [{"claim": "c", "path": "/c"}, {"clam": "d", "path": "x"}]}},
        ["spec.storage.pvc[1].clam: unknown key; did you mean 'claim'?", "spec.storage.pvc[1].path: 'x'; allowed: "],
    ),
    "an empty entry": ({**IMAGE, "tolerations": [{}]}, ["spec.tolerations[0]: empty; allowed: a mapping of effect"]),
    "a text for a list": ({**IMAGE, "node_pools": "a100"}, ["spec.node_pools: 'a100'; allowed: a list of texts"]),
    "a variable name": ({**IMAGE, "environment": {"A=B": 1}}, ["spec.environment: 'A=…' is not a variable name"]),
    "variable without value": ({**IMAGE, "environment": {"A": None}}, ["spec.environment: A holds a NoneType"]),
    "two sources": (
        {**IMAGE, "environment": {"A": {"secret": {"name": "a", "key": "b"}, "pod_field": "x"}}},
        ["spec.environment: A has the keys ['pod_field', 'secret']; allowed: exactly one of"],
    ),
    "half a source": ({**IMAGE, "environment": {"A": {"secret": {"name": "a"}}}}, ["A.secret: needs exactly the keys"]),
    "a source without key": ({**IMAGE, "environment": {"A": {"secret": {"name": "a", "key": None}}}}, ["not empty"]),
    "our own variable": ({**IMAGE, "environment": {"AIRFLOW_RUNAI_TRY": 1}}, ["AIRFLOW_RUNAI_TRY is set by the prov"]),
    "framework missing": ({**IMAGE, "distributed": {"workers": 2}}, ["spec.distributed.framework: missing; allowed"]),
    "framework unknown": ({**IMAGE, "distributed": {"framework": "pytorch"}}, ["(allowed: PyTorch, TF, MPI"]),
    "distributed search": ({**IMAGE, "distributed": PYTORCH, "completions": 3}, ["spec.completions: together with "]),
    "mistakes of the master": (
        {**IMAGE, "distributed": {**PYTORCH, "master": {"comand": "x", "compute": {"gpu_portion": 2}}}},
        ["spec.distributed.master.comand: unknown key", "spec.distributed.master.compute.gpu_portion: 2; allowed"],
    ),
    "a master of masters": (
        {**IMAGE, "distributed": {**PYTORCH, "master": {"distributed": PYTORCH}}},
        ["spec.distributed.master.distributed: belongs to the whole workload"],
    ),
    "raw that is no JSON": ({**IMAGE, "raw": {"since": {1, 2}}}, ["spec.raw: cannot be sent as JSON"]),
    "raw that is a text": ({**IMAGE, "raw": "{}"}, ["spec.raw: a str; allowed: a mapping with text keys"]),
    "no mapping at all": ("runai submit", ["spec: 'runai submit' is a str; allowed: a mapping of"]),
    "nothing at all": (None, ["spec: None is a NoneType; allowed: a mapping of"]),
    "a number as key": ({**IMAGE, 5: 6}, ["spec.5: unknown key"]),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_every_mistake_is_named_with_place_value_and_what_is_allowed(case: str) -> None:
    given_spec, expected = BAD[case]
    found = problems_of(given_spec)
    missing = [part for part in expected if not any(part in problem for problem in found)]
    assert not missing, found
    assert len(found) == len(expected)


def test_values_of_variables_never_appear_in_errors() -> None:
    found = problems_of({"environment": {"TOKEN": ["hunter2"], "KEY": "hunter3"}, "imagee": "x"})
    assert "hunter" not in "".join(found)


def test_texts_that_a_template_left_behind_are_read_as_what_they_mean() -> None:
    rendered = {"gpu_portion": "0.5", "large_shm": "True", "cpu_cores": "2"}
    assert WorkloadSpec.from_mapping({**IMAGE, "compute": rendered, "backoff_limit": "2"}) == (
        WorkloadSpec.from_mapping(
            {
                **IMAGE,
                "compute": {"gpu_portion": 0.5, "large_shm": True, "cpu_cores": 2},
                "backoff_limit": 2,
            }
        )
    )


def test_a_template_may_bring_the_image() -> None:
    assert WorkloadSpec.from_mapping({"template_id": "t"}).to_wire()["templateId"] == "t"


def test_raw_is_laid_over_the_rest_and_keeps_what_it_does_not_name() -> None:
    found = spec_of(
        compute={"gpu_devices": 1},
        environment={"A": 1, "B": 2},
        raw={
            "compute": {"migProfile": "1g"},
            "environmentVariables": [{"name": "B", "exclude": True}],
            "preemptibility": "semi-preemptible",
            "probes": {"readiness": {}},
        },
    )
    assert found["compute"] == {"gpuDevicesRequest": 1, "migProfile": "1g"}
    assert found["environmentVariables"] == [
        {"name": "A", "value": "1"},
        {"name": "B", "exclude": True},
    ]
    assert (found["preemptibility"], found["probes"]) == ("semi-preemptible", {"readiness": {}})


def test_the_master_is_as_a_worker_where_it_does_not_differ() -> None:
    given_spec = {
        **IMAGE,
        "command": "./train.sh",
        "environment": {"A": 1, "B": 2},
        "compute": {"gpu_devices": 4, "large_shm": True},
        "distributed": {
            **PYTORCH,
            "workers": 2,
            "master": {
                "compute": {"gpu_devices": 1},
                "environment": {"B": 3},
                "raw": {"tty": True},
            },
        },
    }
    wire = WorkloadSpec.from_mapping(given_spec).to_wire()
    assert wire["masterSpec"] == {
        "image": "repo/train:1",
        "preemptibility": "preemptible",
        "command": "./train.sh",
        "environmentVariables": [{"name": "A", "value": "1"}, {"name": "B", "value": "3"}],
        "compute": {"gpuDevicesRequest": 1, "largeShmRequest": True},
        "tty": True,
    }
    assert (wire["spec"]["numWorkers"], "masterSpecSameAsWorker" in wire) == (2, False)


def test_without_its_own_fields_the_master_is_the_same_as_a_worker() -> None:
    spec = WorkloadSpec.from_mapping({**IMAGE, "distributed": PYTORCH})
    assert (spec.kind, spec.to_wire()["masterSpecSameAsWorker"]) == ("distributed", True)
    assert WorkloadSpec.from_mapping(IMAGE).kind == "trainings"


def test_variables_that_are_added_do_not_replace_those_of_the_author() -> None:
    spec = WorkloadSpec.from_mapping({**IMAGE, "environment": {"A": "mine"}}).with_environment(
        {"A": "x", "B": "y"}
    )
    assert spec.environment == {"A": "mine", "B": "y"}


TOGETHER_WITH_NOTHING = ("distributed", "template_id", "completions", "parallelism")
FULL = {
    key: written
    for key, (written, _) in WIRE.items()
    if "." not in key and key not in TOGETHER_WITH_NOTHING
}


@given(st.permutations(sorted(FULL)))
def test_the_fingerprint_does_not_depend_on_the_order_of_keys(order: list[str]) -> None:
    shuffled = {key: _reversed(FULL[key]) for key in order}
    assert (
        WorkloadSpec.from_mapping(shuffled).fingerprint()
        == WorkloadSpec.from_mapping(FULL).fingerprint()
    )


def _reversed(value: Any) -> Any:
    return dict(reversed(value.items())) if isinstance(value, dict) else value


def test_any_change_changes_the_fingerprint() -> None:
    prints = {WorkloadSpec.from_mapping(IMAGE).fingerprint()}
    for key, (written, _) in WIRE.items():
        part, dot, name = key.partition(".")
        base = PYTORCH if part == "distributed" else {}
        if key not in ("distributed.framework",):
            more = {part: {**base, name: written}} if dot else {part: written}
            prints.add(WorkloadSpec.from_mapping({**IMAGE, **more}).fingerprint())
    assert len(prints) >= len(WIRE) - 3  # a few examples say the same twice
    assert all(len(found) == 16 for found in prints)


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ({"environment": {"A": "1"}}, {"environment": {"A": "2"}}),
        ({"node_pools": ["a", "b"]}, {"node_pools": ["b", "a"]}),
        ({"raw": {"tty": True}}, {"raw": {"tty": False}}),
        ({"distributed": PYTORCH}, {"distributed": {**PYTORCH, "master": {"command": "m"}}}),
        ({}, {"template_id": "t"}),
    ],
)
def test_small_changes_change_the_fingerprint(one: Any, two: Any) -> None:
    prints = {WorkloadSpec.from_mapping({**IMAGE, **more}).fingerprint() for more in (one, two)}
    assert len(prints) == 2


def test_two_ways_to_write_the_same_have_the_same_fingerprint() -> None:
    one = WorkloadSpec.from_mapping(
        {**IMAGE, "environment": {"N": 1}, "compute": {"gpu_portion": 0.5}}
    )
    two = WorkloadSpec.from_mapping(
        {**IMAGE, "environment": {"N": "1"}, "compute": {"gpu_portion": "0.50"}}
    )
    assert one.fingerprint() == two.fingerprint()


def test_what_is_sent_is_json_and_the_spec_is_frozen() -> None:
    spec = WorkloadSpec.from_mapping(FULL)
    assert json.loads(json.dumps(spec.to_wire())) == spec.to_wire()
    assert replace(spec).to_wire() == spec.to_wire()
    with pytest.raises(AttributeError):
        spec.image = "x"  # type: ignore[misc]  # that is the point


@pytest.mark.parametrize(
    "spec",
    [
        {"command": ["./train.sh", "--token", "s3cr3tvalue"]},
        {"compute": "--api-key=s3cr3tvalue"},
        {"environment": {"HF_TOKEN=s3cr3tvalue": ""}},
        {"working_dir": "hf_s3cr3tvalue12345"},
    ],
)
def test_no_mistake_shows_a_secret(spec: dict[str, Any]) -> None:
    with pytest.raises(SpecError, match="; allowed: ") as caught:
        spec_of(**spec)
    assert "s3cr3t" not in str(caught.value)


def test_keys_can_be_checked_before_the_templates_are_rendered() -> None:
    check_keys(
        {
            "image": "{{ params.image }}",
            "compute": {"gpu_devices": "{{ params.gpus }}"},
            "storage": "{{ x }}",
        }
    )
    with pytest.raises(SpecError) as caught:
        check_keys(
            {"imgae": "{{ x }}", "compute": {"gpu_device": 1}, "distributed": {"framwork": "x"}}
        )
    assert len(caught.value.problems) == 3
    assert "did you mean 'framework'?" in str(caught.value)


def test_tolerations_are_declared_completely() -> None:
    every = {
        "name": "n",
        "key": "k",
        "operator": "Equal",
        "value": "v",
        "effect": "NoSchedule",
        "seconds": "5",
    }
    assert spec_of(tolerations=[every])["tolerations"] == [{**every, "seconds": 5}]
    assert set(every) == {item.name for item in fields(Toleration)}


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        (
            {"gpu_devices": 1},
            "spec.gpu_devices: unknown key; did you mean 'spec.compute.gpu_devices'?",
        ),
        ({"gpus": 1}, "spec.gpus: unknown key; did you mean 'spec.compute.gpu_devices'?"),
        ({"pvc": []}, "spec.pvc: unknown key; did you mean 'spec.storage.pvc'?"),
        ({"env": {}}, "spec.env: unknown key; did you mean 'spec.environment'?"),
        (
            {"compute": {"gpus": 1}},
            "spec.compute.gpus: unknown key; did you mean 'spec.compute.gpu_devices'?",
        ),
        (
            {"storage": {"pvc": [{"claim": "a"}, {"mount_path": "{{ x }}"}]}},
            "spec.storage.pvc[1].mount_path: unknown key; did you mean 'path'?",
        ),
        (
            {"tolerations": [{"kee": "a"}]},
            "spec.tolerations[0].kee: unknown key; did you mean 'key'?",
        ),
        (
            {"environment": {"A": {"secrt": {"name": "a", "key": "b"}}}},
            "spec.environment: A has the keys ['secrt']; allowed: exactly one of {'secret'",
        ),
        (
            {"environment": {"A": {"secret": {"name": "{{ x }}"}}}},
            "spec.environment: A.secret: needs exactly the keys 'name' and 'key'",
        ),
        (
            {"environment": {"A": {"secret": "database"}}},
            "spec.environment: A.secret: needs exactly the keys 'name' and 'key'",
        ),
        (
            {"environment": [{"name": "A", "value": "b"}]},
            "spec.environment: a list; allowed: a mapping from names to values",
        ),
        (
            {"storage": {"pvc": {"claim": "a", "mount_path": "/a"}}},
            "spec.storage.pvc: a dict; allowed: a list of mappings of access_mode, claim",
        ),
        ({"compute": [{"gpus": 1}]}, "spec.compute: a list; allowed: a mapping of cpu_cores"),
        (
            {"storage": {"secret": [{"name": "a", "path": "/a"}]}},
            "spec.storage.secret[0].path: unknown key; did you mean 'mount_path'?",
        ),
        (
            {"storage": {"volumes": []}},
            "spec.storage.volumes: unknown key; did you mean 'data_volume'?",
        ),
        ({"environment": {"1A": "x"}}, "spec.environment: '1A' is not a variable name"),
        (
            {"distributed": {"master": {"compute": {"gpu_devises": 1}}}},
            "spec.distributed.master.compute.gpu_devises: unknown key; did you mean 'gpu_devices'?",
        ),
    ],
)
def test_nested_keys_are_checked_before_rendering(spec: dict[str, Any], problem: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_keys({"image": "{{ params.image }}", **spec})
    (found,) = caught.value.problems
    assert found.startswith(problem)


@given(
    st.recursive(
        st.none() | st.booleans() | st.text(max_size=9),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=9) | st.integers(), inner),
        max_leaves=9,
    )
)
def test_no_value_keeps_keys_from_being_checked(value: Any) -> None:
    with contextlib.suppress(SpecError):
        check_keys({name: value for name in ("storage", "environment", "distributed", "compute")})
    check_keys({"storage": "{{ a }}", "environment": "{{ b }}", "tolerations": "{{ c }}"})
    check_keys({"environment": {"A": {"secret": "{{ a }}"}}})


def test_what_is_for_kubernetes_reaches_run_ai_nowhere_and_still_tells_two_apart() -> None:
    kubernetes = {"kubernetes": {"spec": {"template": {"spec": {"serviceAccountName": "trainer"}}}}}
    given = {**IMAGE, "raw": {"stdin": True, **kubernetes}}
    spec = WorkloadSpec.from_mapping(given)
    assert spec.to_wire()["spec"] == {
        "image": "repo/train:1",
        "preemptibility": "preemptible",
        "stdin": True,
    }
    plain = WorkloadSpec.from_mapping({**IMAGE, "raw": {"stdin": True}})
    assert spec.fingerprint() != plain.fingerprint()
    master = {"framework": "PyTorch", "workers": 1, "master": {"raw": kubernetes}}
    body = WorkloadSpec.from_mapping({**IMAGE, "distributed": master}).to_wire()
    assert "kubernetes" not in body["masterSpec"]
