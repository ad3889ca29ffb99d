"""One template by itself, and a library of several: what is accepted, and how mistakes are told."""

from __future__ import annotations

import subprocess
import sys

import pytest

from airflow_runai.core.templates import Template, library, load_template
from airflow_runai.errors import SpecError

GOOD = """
name: team-a.small_1
extends: base
description: half a GPU, for trying
kind: training
project: team-a
spec:
  image: registry.example/train:7
  compute: {gpu_portion: 0.5, large_shm: true}
  environment:
    EPOCHS: 3
    TOKEN: {secret: {name: wandb, key: api-key}}
  raw: {ports: [{container: 80}]}
required: [working_dir, compute.gpu_devices | compute.gpu_portion]
locked: [compute, environment.A.B, raw.compute.migProfile, storage.pvc, distributed.master.image]
replaceable: [node_pools]
"""


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(SpecError) as caught:
        load_template(text, "a.yaml")
    return caught.value.problems


def test_all_keys_are_read() -> None:
    found = load_template(GOOD, "a.yaml")
    assert found == Template(
        name="team-a.small_1",
        where="a.yaml",
        extends="base",
        description="half a GPU, for trying",
        kind="training",
        project="team-a",
        spec={
            "image": "registry.example/train:7",
            "compute": {"gpu_portion": 0.5, "large_shm": True},
            "environment": {
                "EPOCHS": "3",
                "TOKEN": {"secret": {"name": "wandb", "key": "api-key"}},
            },
            "raw": {"ports": [{"container": 80}]},
        },
        required=("working_dir", "compute.gpu_devices | compute.gpu_portion"),
        locked=(
            "compute",
            "environment.A.B",
            "raw.compute.migProfile",
            "storage.pvc",
            "distributed.master.image",
        ),
        replaceable=("node_pools",),
    )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("spec: {}", "name: missing; allowed: the name that tasks use for it"),
        ("name: a b", "line 1: name: 'a b'; allowed: letters"),
        ("name: call", "line 1: name: 'call' stands for the task's own keys"),
        ("name: 7", "line 1: name: 7; allowed: letters"),
        ("name: a\nextend: b", "line 2: extend: unknown key; did you mean 'extends'?"),
        ("name: a\nextends: [b, c]", "line 2: extends: a list; allowed: the name of one template"),
        ("name: a\nextends: admin", "line 2: extends: 'admin' lies beneath every template anyway"),
        (
            "name: admin\nextends: a",
            "line 2: extends: 'admin' lies beneath all others and extends none",
        ),
        ("name: a\nkind: inference", "line 2: kind: 'inference'; "),
        ("name: a\nspec: [image]", "line 2: spec: a list; allowed: a mapping"),
        ("name: a\nspec:\n  imgae: x", "line 3: spec.imgae: unknown key; did you mean 'image'?"),
        ("name: a\nspec:\n  compute:\n    gpu: 1", "line 4: spec.compute.gpu: unknown key"),
        (
            "name: a\nspec:\n  compute:\n    cpu_cores: x",
            "line 4: spec.compute.cpu_cores: 'x'; allowed: numbers",
        ),
        (
            "name: a\nspec:\n  storage:\n    pvc:\n    - claim: c\n    - path: here",
            "line 6: spec.storage.pvc[1].path: 'here'; allowed: an absolute path",
        ),
        (
            "name: a\nspec:\n  compute: {gpu_portion: .5, gpu_devices: 2}",
            "line 3: spec.compute.gpu_portion: together",
        ),
        ("name: a\nrequired: image", "line 2: required: 'image'; allowed: a list of texts"),
        (
            "name: a\nrequired: [imagee]",
            "line 2: required: 'imagee' is not a key; did you mean 'image'?",
        ),
        (
            "name: a\nlocked: [compute.gpu_device]",
            "line 2: locked: 'gpu_device' is not a key; did you mean 'gpu_devices'?",
        ),
        (
            "name: a\nlocked: [storage.pvc.claim]",
            "line 2: locked: 'pvc' is one value or list, 'claim' in it cannot",
        ),
        ("name: a\nlocked: [environment.]", "line 2: locked: 'environment' is one value or list"),
        ("name: a\nlocked: ['image |']", "line 2: locked: '' is not a key"),
        ("name: a\nreplaceable: [volumes]", "line 2: replaceable: 'volumes' is not a key"),
    ],
)
def test_a_mistake_names_line_value_and_what_is_allowed(text: str, sentence: str) -> None:
    assert [found for found in problems(text) if sentence in found], problems(text)


def test_all_mistakes_are_told_at_once() -> None:
    assert (
        len(problems("nam: a\nspec: {imgae: x, compute: {cpu_cores: -1}}\nlocked: [x]\nkind: y"))
        == 6
    )


def test_values_of_variables_are_not_repeated() -> None:
    found = problems("name: a\nspec: {environment: {1A: hunter2, B: [hunter2]}}")
    assert "hunter2" not in str(found)


def test_a_library_holds_texts_of_many_documents_and_mappings() -> None:
    found = library(
        {
            "a.yaml": "name: a\n---\nname: b\n---\n",
            "the DAG file": {"name": "c", "spec": {"image": "x"}},
        }
    )
    assert {name: template.where for name, template in found.items()} == {
        "a": "a.yaml",
        "b": "a.yaml",
        "c": "the DAG file",
    }
    assert library({}) == {}


def test_a_library_tells_the_mistakes_of_all_texts() -> None:
    with pytest.raises(SpecError) as caught:
        library(
            {
                "a.yaml": "name: a",
                "b.yaml": "name: [",
                "c.yaml": "name: a\n---\nname: b\nspec: 1",
                "d": {"x": 1},
            }
        )
    places = {sentence.split(":")[0] for sentence in caught.value.problems}
    assert places == {"b.yaml, line 1", "c.yaml", "c.yaml, line 4", "d"}
    assert "c.yaml: name: 'a' is taken by a.yaml; rename one of them" in caught.value.problems


def test_yaml_is_imported_only_when_a_text_is_read() -> None:
    probe = "import sys, airflow_runai.core.templates as t; t.library({}); assert 'yaml' not in sys.modules"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
