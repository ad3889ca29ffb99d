"""Laying over: the table of docs/templates.md, and the laws that hold for all of it."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_runai.core.spec import WorkloadSpec
from airflow_runai.core.templates import Template, resolve
from airflow_runai.core.templates.keys import MISSING, value_at
from airflow_runai.core.templates.merging import leaves, overlay, same

CLAIM = [
    {"claim": "a", "path": "/a"},
    {"claim": "b", "path": "/b"},
    {"claim": "c", "path": "/c", "read_only": True},
]
Spec = dict[str, Any]


def some(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    return st.fixed_dictionaries(
        {}, optional={name: st.none() | values for name, values in keys.items()}
    )


def raws(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Spec]:
    entry = st.builds(
        lambda name, value: {"name": name, "value": value}, st.sampled_from("xyz"), scalars
    )
    named = st.lists(entry, min_size=1, max_size=3, unique_by=lambda one: str(one["name"]))
    inner = {"n": scalars, "list": st.lists(st.integers(0, 3), max_size=3), "variables": named}
    deep = st.fixed_dictionaries({}, optional=inner)
    return st.fixed_dictionaries({}, optional={**inner, "deep": deep})


VARIABLE = st.sampled_from(["1", 2, True]) | st.sampled_from(
    [{"secret": {"name": "s", "key": "k"}}]
)
LABELS = st.dictionaries(st.sampled_from(["a", "b.c/d"]), st.sampled_from(["x", "y"]), max_size=2)
CLAIMS = st.lists(st.sampled_from(CLAIM), max_size=3)
BASIC: dict[str, st.SearchStrategy[Any]] = {
    "image": st.sampled_from(["x:1", "x:2"]),
    "backoff_limit": st.integers(0, 2),
    "environment": st.dictionaries(st.sampled_from("ABC"), VARIABLE, max_size=3),
    "labels": LABELS,
    "compute": some(
        gpu_devices=st.integers(1, 3),
        gpu_portion=st.sampled_from([0.1, 0.5]),
        gpu_portion_limit=st.just(0.8),
        gpu_memory=st.just("5G"),
        cpu_cores=st.integers(1, 3),
        large_shm=st.booleans(),
        extended_resources=LABELS,
    ),
    "storage": some(pvc=CLAIMS, nfs=st.lists(st.just({"path": "/n"}), max_size=1)),
    "node_pools": st.lists(st.sampled_from("pq"), max_size=3),
    "raw": raws(st.none() | st.integers(0, 2)),
}
MASTER = some(**BASIC)
DISTRIBUTED = some(workers=st.integers(1, 3), framework=st.just("PyTorch"), master=MASTER)
SPECS = some(**BASIC, distributed=DISTRIBUTED, priority=st.just("low"))


@pytest.mark.parametrize(
    ("base", "patch", "expected"),
    [
        ({"image": "a"}, {"image": "b"}, {"image": "b"}),
        ({"image": "a"}, {"image": None}, {"image": "a"}),
        ({"compute": {"cpu_cores": 1}}, {"compute": {"cpu_cores": None}}, {"compute": {"cpu_cores": 1}}),
        ({"compute": {"cpu_cores": 1}}, {"compute": {}}, {"compute": {"cpu_cores": 1}}),
        ({"environment": {"A": 1, "B": 1}}, {"environment": {"B": 2}}, {"environment": {"A": 1, "B": 2}}),
        (
            {"environment": {"A": {"secret": {"name": "s", "key": "k"}}}},
            {"environment": {"A": {"config_map": {"name": "c", "key": "k"}}}},
            {"environment": {"A": {"config_map": {"name": "c", "key": "k"}}}},
        ),
        ({"labels": {"a": "1"}}, {"labels": {"b": "2"}}, {"labels": {"a": "1", "b": "2"}}),
        ({"node_pools": ["a"]}, {"node_pools": ["b", "a"]}, {"node_pools": ["a", "b"]}),
        ({"node_pools": ["a"]}, {"node_pools": []}, {"node_pools": ["a"]}),
        (
            {"storage": {"pvc": CLAIM[:1]}},
            {"storage": {"pvc": CLAIM[1:2], "nfs": [{"path": "/n"}]}},
            {"storage": {"pvc": CLAIM[:2], "nfs": [{"path": "/n"}]}},
        ),
        ({"compute": {"gpu_devices": 2}}, {"compute": {"gpu_portion": 0.5}}, {"compute": {"gpu_portion": 0.5}}),
        (
            {"compute": {"gpu_portion": 0.5, "gpu_portion_limit": 1, "cpu_cores": 4}},
            {"compute": {"gpu_devices": 4}},
            {"compute": {"gpu_devices": 4, "cpu_cores": 4}},
        ),
        (
            {"compute": {"gpu_portion": 0.5}},
            {"compute": {"gpu_portion_limit": 0.8}},
            {"compute": {"gpu_portion": 0.5, "gpu_portion_limit": 0.8}},
        ),
        (
            {"distributed": {"master": {"environment": {"A": 1}, "compute": {"gpu_devices": 1}}}},
            {"distributed": {"workers": 3, "master": {"environment": {"B": 2}, "compute": {"gpu_portion": 0.5}}}},
            {
                "distributed": {
                    "workers": 3,
                    "master": {"environment": {"A": 1, "B": 2}, "compute": {"gpu_portion": 0.5}},
                }
            },
        ),
        ({"raw": {"a": {"b": 1, "c": 1}}}, {"raw": {"a": {"b": None}}}, {"raw": {"a": {"b": None, "c": 1}}}),
        ({"raw": {"ports": [{"container": 1}]}}, {"raw": {"ports": [{"container": 2}]}},
         {"raw": {"ports": [{"container": 1}, {"container": 2}]}}),
        ({"raw": {"e": [{"name": "A", "value": "1"}, {"name": "B"}]}}, {"raw": {"e": [{"name": "A", "value": "2"}]}},
         {"raw": {"e": [{"name": "A", "value": "2"}, {"name": "B"}]}}),
        ({"raw": None}, {"raw": {"x": 1}}, {"raw": {"x": 1}}),
    ],
)  # fmt: skip
def test_the_rules_of_the_table(base: Spec, patch: Spec, expected: Spec) -> None:
    assert overlay(base, patch) == expected


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(SPECS, SPECS, SPECS)
def test_it_does_not_matter_which_two_layers_are_laid_first(
    one: Spec, two: Spec, three: Spec
) -> None:
    one = overlay({}, one)
    assert overlay(overlay(one, two), three) == overlay(one, overlay(overlay({}, two), three))


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(SPECS)
def test_an_empty_layer_changes_nothing(spec: Spec) -> None:
    plain = overlay({}, spec)
    assert overlay(plain, {}) == plain
    assert overlay({}, plain) == plain


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(SPECS, SPECS)
def test_repeating_a_layer_changes_nothing_and_no_layer_is_touched(one: Spec, two: Spec) -> None:
    before = copy.deepcopy((one, two))
    both = overlay(overlay({}, one), two)
    assert overlay(both, two) == both
    assert (one, two) == before


@pytest.mark.slow
@settings(max_examples=120, deadline=None)
@given(SPECS, SPECS, SPECS, SPECS)
def test_layers_name_every_value_and_who_said_it(
    admin: Spec, parent: Spec, small: Spec, call: Spec
) -> None:
    said = {"admin": admin, "parent": parent, "small": small, "call": call}
    known = {
        "parent": Template("parent", "p", parent),
        "small": Template("small", "s", small, extends="parent"),
    }
    found = resolve("small", known, call, Template("admin", "a", admin))
    single = {key: value for key, value in leaves(found.spec) if key}
    assert found.layers.keys() == single.keys()
    for key, layer in found.layers.items():
        assert any(same(value, single[key]) for value in _said(said[layer], key)), (key, layer)
        # Nobody above says otherwise, except lists, which are only added to, and variables of raw,
        # which go by name.
        above = list(said)[list(said).index(layer) + 1 :]
        if "[" not in key:
            assert all(_silent_or(said[name], key, single[key]) for name in above), (key, layer)


def _said(spec: Spec, key: str) -> list[Any]:
    """What a layer says at a dotted key: one value, or the entries of a list."""
    list_key = re.sub(r"\[\d+\]$", "", key)
    found = dict(leaves(overlay({}, spec)))
    return [
        value for name, value in found.items() if name == key or name.startswith(f"{list_key}[")
    ]


def _silent_or(spec: Spec, key: str, value: Any) -> bool:
    at = value_at(spec, tuple(key.split(".")))
    empty = (
        at is MISSING
        or at is None
        or isinstance(at, (Mapping, list))
        or not isinstance(spec, Mapping)
    )
    return empty or same(at, value)


@settings(max_examples=60, deadline=None)
@given(SPECS, SPECS)
def test_two_specifications_that_fit_make_one_that_fits(one: Spec, two: Spec) -> None:
    both = overlay(
        overlay({"image": "x", "distributed": {"framework": "PyTorch"}}, _fit(one)), _fit(two)
    )
    both.pop("distributed")
    assert WorkloadSpec.from_mapping(both).to_wire()["spec"]


def _fit(spec: Spec) -> Spec:
    """Without contradictions of its own."""
    compute = dict(spec.get("compute") or {})
    amounts = [
        key for key in ("gpu_devices", "gpu_portion", "gpu_memory") if compute.get(key) is not None
    ]
    return {**spec, "compute": {k: v for k, v in compute.items() if k not in amounts[1:]}}


@pytest.mark.parametrize(
    ("task", "git"),
    [
        ([{"branch": "dev"}], [{"repository": "u", "path": "/code", "branch": "dev"}]),
        (
            [{"repository": "u", "branch": "dev"}],
            [{"repository": "u", "path": "/code", "branch": "dev"}],
        ),
        ([{"repository": "v", "path": "/code"}], [{"repository": "v", "path": "/code"}]),
        ([{"repository": "u", "path": "/code"}], [{"repository": "u", "path": "/code"}]),
        (
            [{"repository": "u", "path": "/b"}],
            [{"repository": "u", "path": "/code"}, {"repository": "u", "path": "/b"}],
        ),
        (
            [{"repository": "v", "path": "/b"}],
            [{"repository": "u", "path": "/code"}, {"repository": "v", "path": "/b"}],
        ),
    ],
)
def test_two_clones_never_share_a_place(
    task: list[dict[str, str]], git: list[dict[str, str]]
) -> None:
    base = {"storage": {"git": [{"repository": "u", "path": "/code"}]}}
    assert overlay(base, {"storage": {"git": task}}) == {"storage": {"git": git}}
