"""From a name to one specification: parents, admin defaults, locks, required keys, and mistakes between layers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.templates import Effective, Template, library, load_template, resolve
from airflow_runai.errors import SpecError

FILES = {
    "admin.yaml": """
name: admin
spec:
  preemptibility: preemptible
  storage: {pvc: [{claim: shared, path: /shared}]}
  environment: {HTTP_PROXY: http://proxy:3128, TEAM: all}
  compute: {cpu_memory: 8G}
locked: [preemptibility, environment.HTTP_PROXY, security, storage.nfs]
required: [image, working_dir]
""",
    "base.yaml": """
name: base
description: what all of us use
project: team-a
spec:
  image: registry.example/train:7
  environment: {TEAM: a}
  storage: {pvc: [{claim: data, path: /data}]}
  node_pools: [a100]
  compute: {gpu_devices: 2}
replaceable: [node_pools]
""",
    "small.yaml": """
name: small
extends: base
spec: {compute: {gpu_portion: 0.5}, working_dir: /shared/code}
locked: [compute.gpu_portion]
""",
}


def effective(name: str | None, call: Mapping[str, Any], **more: str) -> Effective:
    known = library(
        {**FILES, **{f"{key}.yaml": f"name: {key}\n{text}" for key, text in more.items()}}
    )
    return resolve(name, known, call, known["admin"])


def problems(name: str | None, call: Mapping[str, Any], **more: str) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        effective(name, call, **more)
    return caught.value.problems


def test_layers_from_admin_to_task_make_one_specification() -> None:
    found = effective(
        "small", {"environment": {"EPOCHS": 3}, "node_pools": ["h100"], "args": "--fast"}
    )
    assert found.spec == {
        "preemptibility": "preemptible",
        "storage": {
            "pvc": [{"claim": "shared", "path": "/shared"}, {"claim": "data", "path": "/data"}]
        },
        "environment": {"HTTP_PROXY": "http://proxy:3128", "TEAM": "a", "EPOCHS": 3},
        "compute": {"cpu_memory": "8G", "gpu_portion": 0.5},
        "image": "registry.example/train:7",
        "working_dir": "/shared/code",
        "node_pools": ["h100"],
        "args": "--fast",
    }
    assert found.layers == {
        "preemptibility": "admin",
        "storage.pvc[0]": "admin",
        "storage.pvc[1]": "base",
        "environment.HTTP_PROXY": "admin",
        "environment.TEAM": "base",
        "environment.EPOCHS": "call",
        "compute.cpu_memory": "admin",
        "compute.gpu_portion": "small",
        "image": "base",
        "working_dir": "small",
        "node_pools[0]": "call",
        "args": "call",
    }
    assert (found.templates, found.project) == (("admin", "base", "small"), "team-a")
    assert WorkloadSpec.from_mapping(found.spec).image == "registry.example/train:7"


def test_without_a_name_only_the_admins_defaults_apply() -> None:
    found = effective(None, {"image": "x", "working_dir": "/w"})
    assert found.templates == ("admin",)
    assert found.spec["environment"] == {"HTTP_PROXY": "http://proxy:3128", "TEAM": "all"}
    assert resolve(None, {}, {"image": "x"}, None) == Effective({"image": "x"}, {"image": "call"})


def test_a_template_of_the_control_plane_passes_through() -> None:
    template = load_template("name: a\nspec: {template_id: 0c3e}", "a.yaml")
    spec = WorkloadSpec.from_mapping(resolve("a", {"a": template}, {}, None).spec)
    assert spec.to_wire()["templateId"] == "0c3e"


def test_what_is_replaceable_counts_only_where_nobody_above_speaks() -> None:
    assert effective("small", {}).spec["node_pools"] == ["a100"]
    assert effective("small", {"node_pools": []}).spec["node_pools"] == ["a100"]
    several = (
        "spec: {storage: {nfs: [{path: /n}], host_path: [{path: /h}]}, environment: {A: 1, B: 1}}\n"
    )
    several += "replaceable: [storage.host_path | storage.nfs, environment.A | environment.C]"
    template = load_template(f"name: a\n{several}", "a.yaml")
    call = {"storage": {"nfs": [{"path": "/mine"}]}, "environment": {"C": 2}}
    assert resolve("a", {"a": template}, call, None).spec == {
        "storage": {"nfs": [{"path": "/mine"}]},
        "environment": {"B": "1", "C": 2},
    }


@pytest.mark.parametrize(
    ("name", "more", "sentence"),
    [
        ("smal", {}, "template: no template is called 'smal'; did you mean 'small'?"),
        ("zzz", {}, "template: no template is called 'zzz'; allowed: base, small"),
        ("admin", {}, "template: 'admin' applies to every task anyway"),
        (
            "mine",
            {"mine": "extends: basee"},
            "template 'mine', extends: no template is called 'basee'; did you mean",
        ),
        (
            "mine",
            {"mine": "extends: mine"},
            "template 'mine': extends itself (mine → mine); take out one 'extends'",
        ),
        (
            "mine",
            {"mine": "extends: a", "a": "extends: b", "b": "extends: a"},
            "template 'a': extends itself (a → b → a)",
        ),
    ],
)
def test_a_chain_that_leads_nowhere_is_told_without_guesses(
    name: str, more: dict[str, str], sentence: str
) -> None:
    (found,) = problems(name, {}, **more)
    assert found.startswith(sentence)


def test_an_empty_library_says_so() -> None:
    with pytest.raises(SpecError, match="no template is called 'a'; there are none"):
        resolve("a", {}, {}, None)


def test_required_keys_are_looked_for_after_merging() -> None:
    assert effective("base", {"working_dir": "/w"}).spec["working_dir"] == "/w"
    assert problems("base", {"working_dir": None}) == (
        "spec.working_dir: missing; required by 'admin' (admin.yaml); set it in the task",
    )
    either = "required: [compute.gpu_memory | compute.gpu_portion, node_pools, environment.TEAM, args]\nextends: base"
    found = problems("mine", {"working_dir": "/w", "args": "", "node_pools": []}, mine=either)
    assert [sentence.split(": ")[0] for sentence in found] == [
        "spec.compute.gpu_memory or spec.compute.gpu_portion",
        "spec.args",
    ]


LOCKS = {
    "another value": (
        {"preemptibility": "non-preemptible"},
        "spec.preemptibility: the task tries 'non-preemptible', ",
    ),
    "a value where none was": (
        {"security": {"run_as_uid": 0}},
        "spec.security: the task tries {'run_as_uid': 0}",
    ),
    "a list that grows": (
        {"storage": {"nfs": [{"path": "/n"}]}},
        "spec.storage.nfs: the task tries [{'path': '/n'}]",
    ),
    "a variable": (
        {"environment": {"HTTP_PROXY": "hunter2"}},
        "spec.environment.HTTP_PROXY: the task tries a value",
    ),
    "an answer that drops it": (
        {"compute": {"gpu_devices": 4}},
        "spec.compute.gpu_portion: the task tries another",
    ),
    "the server's spelling": (
        {"raw": {"preemptibility": "x"}},
        "spec.raw.preemptibility: the task tries a value",
    ),
    "the server's spelling of a variable": (
        {"raw": {"environmentVariables": [{"name": "HTTP_PROXY", "value": "hunter2"}]}},
        "spec.raw.environmentVariables.HTTP_PROXY: the task tries a value (not shown)",
    ),
    "null in the server's spelling": (
        {"raw": {"security": None}},
        "spec.raw.security: the task tries a value",
    ),
    "null for all variables": (
        {"raw": {"environmentVariables": None}},
        "spec.raw.environmentVariables.HTTP_PROXY",
    ),
    "a part of the server's": (
        {"raw": {"compute": 5}},
        "spec.raw.compute.gpuPortionRequest: the task tries",
    ),
    "a master of its own": (
        {"distributed": {"framework": "MPI", "master": {"security": {"run_as_uid": 0}}}},
        "spec.distributed.master.security: the task tries",
    ),
    "a master in the server's spelling": (
        {"distributed": {"framework": "MPI", "master": {"raw": {"security": {"runAsUid": 0}}}}},
        "spec.distributed.master.raw.security: the task tries",
    ),
}


@pytest.mark.parametrize(("call", "sentence"), LOCKS.values(), ids=LOCKS)
def test_a_locked_key_has_no_back_door(call: dict[str, Any], sentence: str) -> None:
    (found,) = problems("small", call)
    assert found.startswith(sentence)
    assert "hunter2" not in found
    assert ("'admin' (admin.yaml) locks it" in found) or ("'small' (small.yaml) locks it" in found)
    assert found.endswith("; leave it out")


@pytest.mark.parametrize(
    "call",
    [
        {"preemptibility": "preemptible"},
        {"preemptibility": None},
        {"compute": {"gpu_portion": 0.5, "gpu_portion_limit": 0.8}},
        {"environment": {"HTTPS_PROXY": "x"}},
        {"raw": {"environmentVariables": [{"name": "OTHER", "value": "x"}]}},
        {"distributed": {"framework": "MPI", "master": {"image": "x"}}},
    ],
)
def test_a_lock_lets_through_what_it_does_not_hold(call: dict[str, Any]) -> None:
    assert effective("small", call).spec["preemptibility"] == "preemptible"


def test_a_distributed_lock_holds_the_flat_spelling() -> None:
    template = load_template("name: a\nlocked: [distributed]\nspec: {image: x}", "a.yaml")
    with pytest.raises(SpecError, match=r"spec\.raw\.numWorkers: the task tries"):
        resolve("a", {"a": template}, {"raw": {"numWorkers": 9}}, None)


def test_a_template_must_respect_the_locks_beneath_it() -> None:
    (found,) = problems(
        "mine", {"image": "x", "working_dir": "/w"}, mine="spec: {preemptibility: semi-preemptible}"
    )
    assert found.startswith(
        "spec.preemptibility: template 'mine' (mine.yaml) tries 'semi-preemptible', but 'admin'"
    )


def test_what_is_wrong_between_layers_is_told_at_once() -> None:
    mine = "kind: distributed\nrequired: [args]\nspec: {security: {run_as_uid: 0}}"
    found = problems("mine", {"preemptibility": "non-preemptible"}, mine=mine)
    assert [sentence.split(":")[0] for sentence in found] == [
        "spec.security",
        "spec.preemptibility",
        "spec.image",
        "spec.working_dir",
        "spec.args",
        "kind",
    ]
    broken = problems("mine", {"preemptibility": "non-preemptible"}, mine="extends: nobody")
    assert [sentence.split(":")[0] for sentence in broken] == [
        "template 'mine', extends",
        "spec.preemptibility",
    ]


def test_a_kind_must_fit() -> None:
    call = {"image": "x", "working_dir": "/w", "distributed": {"framework": "MPI"}}
    (found,) = problems("mine", call, mine="kind: training")
    assert found.startswith(
        "kind: the workload is of kind distributed, and template 'mine' (mine.yaml) is for training; leave"
    )
    assert effective("mine", call, mine="kind: distributed").spec["distributed"] == {
        "framework": "MPI"
    }


def test_warnings_of_templates_are_handed_on() -> None:
    template = Template("a", "a.yaml", {"image": "x"}, warnings=("left out",))
    assert resolve("a", {"a": template}, {}, None).warnings == ("template 'a': left out",)
